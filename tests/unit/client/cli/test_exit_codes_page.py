"""docs/operations.md lists the exit codes as `dcctl --help` does."""

import re
from pathlib import Path

from distconv.client.cli.exit_codes import MEANINGS

PAGE = Path(__file__).parents[4] / "docs" / "operations.md"


def test_the_page_lists_every_exit_code_with_its_meaning():
    table = PAGE.read_text().split("`dcctl`:\n")[1].split("With `--json`")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE)
    assert {int(code): text for code, text in rows} == {
        code.value: text for code, text in MEANINGS.items()
    }
