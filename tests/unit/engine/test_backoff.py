"""Pauses between tries."""

from distconv.engine.backoff import Backoff


async def test_pauses_double_until_there_were_enough() -> None:
    pauses: list[float] = []

    async def pause(pause_s: float) -> None:
        pauses.append(pause_s)

    backoff = Backoff(12.0, pause)
    while await backoff.wait():
        pass
    assert [round(each, 3) for each in pauses] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 0.7]
    assert not await backoff.wait()
