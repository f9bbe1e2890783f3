"""dcctl: the command line of distconv."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from distconv.client.cli.exit_codes import epilog
from distconv.client.cli.failing import Failing
from distconv.client.cli.lazy import Lazy, LazyGroup
from distconv.client.cli.nonblocking_stderr import never_blocked
from distconv.client.cli.options import common_options
from distconv.client.cli.standard_streams import usable_streams
from distconv.core.version import __version__

_HERE = "distconv.client.cli"

COMMANDS = {
    "transcode": Lazy(f"{_HERE}.transcode:command", "Transcode a video, from file to file."),
    "up": Lazy(f"{_HERE}.up:command", "Run dispatch, storage and engines on this machine."),
    "submit": Lazy(f"{_HERE}.submit:command", "Upload videos and create a job for each."),
    "download": Lazy(f"{_HERE}.download:command", "Fetch the result of a job."),
    "jobs": Lazy(f"{_HERE}.jobs:group", "List, show, follow and steer jobs."),
    "objects": Lazy(f"{_HERE}.objects:group", "List, send, fetch and delete stored files."),
    "engines": Lazy(f"{_HERE}.engines:group", "List, show and steer engines."),
    "events": Lazy(
        f"{_HERE}.events:group", "Follow events, and deal with those that a subscriber gave up on."
    ),
    "profiles": Lazy(f"{_HERE}.profiles:group", "List and show profiles."),
    "version": Lazy(f"{_HERE}.version:command", "Say which version this is, and the server's."),
}


# click reads \b as "leave the next lines as they are".
_HELP = """Turn machines into one video transcoder.

\b
  dcctl transcode in.mov -o out.mp4 --profile h264-720p

needs nothing else: without a server it starts one for as long as it takes.
"""


@click.group(
    cls=LazyGroup,
    help=_HELP,
    commands_at=COMMANDS,
    epilog=epilog(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@common_options
@click.version_option(__version__, prog_name="dcctl", message="%(prog)s %(version)s")
def cli() -> None:
    """Run the group; its help stands in _HELP."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run dcctl and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    said: dict[str, Any] = {}
    if "--debug" not in given:
        # Before gRPC is loaded: its own lines say less than our errors, and are no sentences.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with usable_streams(), never_blocked():
        try:
            result = cli.main(args=given, prog_name="dcctl", standalone_mode=False, obj=said)
            sys.stdout.flush()  # here, where it can still be said that it failed
        except BaseException as error:  # noqa: BLE001  # every end becomes an exit code
            # A command line that could not be parsed said what it said all the same.
            as_json = bool(said.get("json")) or "--json" in given
            return Failing(as_json=as_json, debug=bool(said.get("debug"))).end(error)
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
