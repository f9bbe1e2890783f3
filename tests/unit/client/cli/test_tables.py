import pytest

from distconv.client.cli import tables

_COLUMNS = ("ID", "STATE", "FILE", "WHY")
_ROWS = [("01k9x0000000000a", "TRANSCODING", "holiday.mov", "x" * 40)]


@pytest.mark.parametrize(
    ("room", "kept"),
    [(120, [0, 1, 2, 3]), (80, [0, 1, 2]), (40, [0, 1])],
)
def test_what_does_not_fit_is_left_out_the_least_needed_first(room: int, kept: list[int]) -> None:
    assert tables._kept(_COLUMNS, _ROWS, ("WHY", "FILE"), room) == kept


def test_a_column_without_a_value_is_not_shown() -> None:
    assert tables._kept(("ID", "A", "B"), [("1", "", "x")], (), 100) == [0, 2]


def test_no_rows_are_said_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(("ID",), [], empty="no jobs")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "no jobs\n"
