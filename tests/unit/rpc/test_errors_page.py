"""docs/protocol.md lists every reason with its code: what it says has to be what is sent."""

import re
from pathlib import Path

import grpc
import pytest

from distconv.core import errors as tree
from distconv.rpc.errors import to_status

PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| `([A-Z_]+)` \| (.+) \|$", re.MULTILINE)


def leaves(cls):
    yield cls
    for child in cls.__subclasses__():
        yield from leaves(child)


OURS = {
    cls.reason: cls
    for cls in leaves(tree.DistconvError)
    if cls.__module__ == tree.__name__ and "reason" in vars(cls)
}
LISTED = {reason: (code, remedy) for reason, code, remedy in ROW.findall(PAGE.read_text())}


def test_every_reason_is_listed_and_no_other():
    assert set(LISTED) == set(OURS)


@pytest.mark.parametrize("reason", OURS)
def test_the_code_is_the_one_that_is_sent(reason):
    sent = to_status(OURS[reason]("it broke")).code
    code = next(code.name for code in grpc.StatusCode if code.value[0] == sent)
    assert LISTED[reason][0] == code


@pytest.mark.parametrize("reason", OURS)
def test_what_to_do_is_said(reason):
    assert LISTED[reason][1].strip()
