"""How jobs are named on the command line."""

import click

from distconv.core.ids import parse_id_prefix
from distconv.core.names import bare

JOB = click.argument("job", metavar="JOB")
JOBS = click.argument("jobs", metavar="JOB...", nargs=-1, required=True)


def job_id(job: str) -> str:
    """Return the id, or the beginning of one, that was typed. Raises InvalidArgumentError."""
    return parse_id_prefix(bare(job, "jobs"))
