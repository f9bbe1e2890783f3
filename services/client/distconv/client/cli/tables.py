"""Tables for people."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
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
    "QUARANTINED": "red",
    "MAINTENANCE": "yellow",
    "DRAINING": "yellow",
    "PAUSED": "yellow",
    "CANCELLED": "dim",
    "OFFLINE": "dim",
    "RETRYING": "yellow",
    "TRANSCODING": "cyan",
    "COMPLETING": "cyan",
}


# Between two columns: the space on either side of an invisible line.
_PADDING = 3


def width() -> int:
    """Return how many characters a line of a table may have."""
    return console().width


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    empty: str,
    dispensable: Sequence[str] = (),
) -> None:
    """Print rows under headings, or say on stderr that there are none.

    Where a line is too short for all columns, the `dispensable` ones are left
    out, the first of them first.
    """
    shown = [tuple(row) for row in rows]
    if not shown:
        console(stderr=True).print(empty)
        return
    kept = _kept(columns, shown, dispensable, width())
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index in kept:
        table.add_column(
            columns[index], no_wrap=index == 0 or columns[index] == "STATE", overflow="fold"
        )
    for row in shown:
        cells = [row[index] for index in kept]
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    console().print(table)


def _kept(
    columns: Sequence[str], rows: Sequence[Sequence[str]], dispensable: Sequence[str], room: int
) -> list[int]:
    """Return the columns to show, by their indices."""
    widths = [
        max(cell_len(name), *(cell_len(row[index]) for row in rows))
        for index, name in enumerate(columns)
    ]
    # A column without a value in any row says nothing.
    kept = [index for index in range(len(columns)) if index == 0 or any(row[index] for row in rows)]
    for name in dispensable:
        if sum(widths[index] for index in kept) + _PADDING * (len(kept) - 1) <= room:
            break
        kept = [index for index in kept if columns[index] != name]
    return kept


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values, those without a value left out."""
    shown = [(name, value) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name:<{width}}  {value}")
