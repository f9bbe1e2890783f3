from collections.abc import Iterator
from pathlib import Path

import pytest

from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.testing import SteppedClock
from distconv.storage.threads import Threads


@pytest.fixture
def provider(tmp_path: Path, clock: SteppedClock) -> MemoryProvider:
    return MemoryProvider(tmp_path, clock=clock)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(2)
    yield threads
    threads.close()
