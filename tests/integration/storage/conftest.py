from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distconv.storage.testing import Caller, FakeFinisher, RunningStorage, running_storage


@pytest.fixture
def finisher() -> FakeFinisher:
    return FakeFinisher()


@pytest.fixture
async def storage(tmp_path: Path, finisher: FakeFinisher) -> AsyncIterator[RunningStorage]:
    async with running_storage(tmp_path, finisher=finisher) as running:
        yield running


@pytest.fixture
async def caller(storage: RunningStorage) -> AsyncIterator[Caller]:
    async with storage.caller() as lent:
        yield lent
