from datetime import UTC, datetime, timedelta

import pytest

from distconv.client.patience import Break, Patience, is_break
from distconv.core.errors import (
    CancelledError,
    DistconvError,
    InternalError,
    NotFoundError,
    UnavailableError,
)


class _Time:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0.0
        self.pauses: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at += seconds


def _patience(time: _Time, limit_s: float, breaks: list[Break] | None = None) -> Patience:
    return Patience(
        timedelta(seconds=limit_s),
        address="farm:7400",
        clock=time,
        sleep=time.sleep,
        on_break=None if breaks is None else breaks.append,
    )


async def test_pauses_grow_and_the_last_ends_with_the_limit() -> None:
    time, breaks = _Time(), list[Break]()
    patience = _patience(time, 10, breaks)

    async def fail_for_ever() -> None:
        while True:
            await patience.pause(UnavailableError("gone"))

    with pytest.raises(UnavailableError, match=r"farm:7400.*within 10 s"):
        await fail_for_ever()
    assert time.at == pytest.approx(10)
    assert time.pauses[0] <= 0.1
    assert max(time.pauses) <= 2.0
    assert [b.first for b in breaks] == [True] + [False] * (len(breaks) - 1)
    assert {b.lost for b in breaks} == {"the server at farm:7400"}


async def test_what_a_server_answers_is_said_and_not_that_it_is_lost() -> None:
    time, breaks = _Time(), list[Break]()
    patience = _patience(time, 10, breaks)
    error = UnavailableError("no storage answers")
    error.answered = True

    async def fail_for_ever() -> None:
        while True:
            await patience.pause(error)

    with pytest.raises(UnavailableError, match=r"^no storage answers; tried for 10 s$"):
        await fail_for_ever()
    assert {b.sentence for b in breaks} == {"no storage answers"}


async def test_what_is_lost_is_named_when_it_is_another_than_the_server() -> None:
    patience = _patience(_Time(), 1)

    async def fail_for_ever() -> None:
        while True:
            await patience.pause(UnavailableError("gone"), lost="storage at vault:7500")

    with pytest.raises(UnavailableError, match="lost storage at vault:7500, and it did not come"):
        await fail_for_ever()


async def test_progress_starts_the_limit_anew() -> None:
    time = _Time()
    patience = _patience(time, 1)
    for _ in range(100):
        await patience.pause(UnavailableError("gone"))
        patience.progressed()
    assert time.at > 1


async def test_without_patience_the_error_itself_is_raised() -> None:
    time = _Time()
    error = UnavailableError("no server answers")
    with pytest.raises(UnavailableError) as caught:
        await _patience(time, 0).pause(error)
    assert caught.value is error
    assert time.pauses == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnavailableError("x"), True),
        (CancelledError("the server cut the stream"), True),
        (InternalError("RST_STREAM"), True),
        (DistconvError("Internal error from Core"), True),
        (InternalError("a fault", metadata={"incident": "abc"}), False),
        (NotFoundError("x"), False),
    ],
)
def test_what_counts_as_a_break(error: DistconvError, expected: bool) -> None:
    assert is_break(error) is expected
