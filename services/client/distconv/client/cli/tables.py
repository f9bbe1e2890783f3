"""Tables for people."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Off a terminal there is no width to keep to: a line is a row, for grep and awk.
_WIDTH_OFF_TERMINAL = 10_000


def console(*, stderr: bool = False) -> Console:
    """Make a console that has colours on a terminal only, and none with NO_COLOR."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False, emoji=False, markup=False)
    if not made.is_terminal:
        made = Console(
            stderr=stderr, highlight=False, width=_WIDTH_OFF_TERMINAL, color_system=None,
            emoji=False, markup=False,
        )  # fmt: skip
    return made


_STYLES = {
    "COMPLETED": "green",
    "ONLINE": "green",
    "FAILED": "red",
    "REVOKED": "red",
    "CANCELLED": "dim",
    "OFFLINE": "dim",
    "RETRYING": "yellow",
    "TRANSCODING": "cyan",
    "COMPLETING": "cyan",
}


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows under headings, or say on stderr that there are none."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        count += 1
    if count:
        console().print(table)
    else:
        console(stderr=True).print(empty)


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values, those without a value left out."""
    shown = [(name, value) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name:<{width}}  {value}")
