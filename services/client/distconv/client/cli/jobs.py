"""dcctl jobs: the group; each command is loaded when it runs."""

import click

from distconv.client.cli.lazy import Lazy, LazyGroup
from distconv.client.cli.options import common_options

_HERE = "distconv.client.cli"

COMMANDS = {
    "list": Lazy(
        f"{_HERE}.job_list:list_command",
        "List jobs, newest first.",
    ),
    "get": Lazy(
        f"{_HERE}.job_show:get_command",
        "Show one job with its attempts.",
    ),
    "watch": Lazy(
        f"{_HERE}.job_show:watch_command",
        "Follow a job to its end.",
    ),
    "explain": Lazy(
        f"{_HERE}.job_telling:explain",
        "Say in plain words why a job waits, or why it went where it went.",
    ),
    "history": Lazy(
        f"{_HERE}.job_telling:history",
        "Tell all that happened to a job: every move with its cause, and every attempt.",
    ),
    "tasks": Lazy(
        f"{_HERE}.job_telling:tasks",
        "List the tasks of a job, or of all jobs, newest first.",
    ),
    "pause": Lazy(
        f"{_HERE}.job_steering:pause",
        "Hold jobs until they are resumed; running encoders are ended, their work is lost.",
    ),
    "resume": Lazy(
        f"{_HERE}.job_steering:resume",
        "Let held jobs go on.",
    ),
    "cancel": Lazy(
        f"{_HERE}.job_steering:cancel",
        "Cancel jobs; running encoders are ended.",
    ),
    "retry": Lazy(
        f"{_HERE}.job_steering:retry",
        "Start failed or cancelled jobs again, with all their retries anew.",
    ),
    "update": Lazy(
        f"{_HERE}.job_steering:update",
        "Change priority, deadline, labels and the like of jobs, or the profile of waiting ones.",
    ),
    "assign": Lazy(
        f"{_HERE}.job_steering:assign",
        "Have a waiting job done by ENGINE and no other, as soon as it has a free slot.",
    ),
    "delete": Lazy(
        f"{_HERE}.job_steering:delete",
        "Delete jobs that have ended.",
    ),
    "batch": Lazy(
        f"{_HERE}.job_batch:batch",
        "Create a job for each line of FILE ('-': of stdin), and print their ids in its order.",
    ),
}


@click.group("jobs", cls=LazyGroup, commands_at=COMMANDS)
@common_options
def group() -> None:
    """List, show, follow and steer jobs. Ids may be shortened."""
