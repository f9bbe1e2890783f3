"""Print the ids of what was made of files."""

import sys
from collections.abc import Callable

from distconv.client.cli.text import printable


def print_made(made_id: str, source: str, *, note: Callable[[str], None]) -> None:
    """Print the id of what was made of `source`, one file of several.

    On a terminal the file stands beside it. Elsewhere stdout has the id alone, for
    the next command of a pipe, and `note` is told whose it is.
    """
    if sys.stdout.isatty():
        print(f"{made_id}  {printable(source)}", flush=True)
        return
    note(f"'{source}' is {made_id}")
    print(made_id, flush=True)
