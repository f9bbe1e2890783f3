import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from distconv.client import Client
from distconv.client.testing import FakeSystem


@pytest.fixture
async def fake() -> AsyncIterator[FakeSystem]:
    async with FakeSystem() as system:
        yield system


@pytest.fixture
async def client(fake: FakeSystem) -> AsyncIterator[Client]:
    async with Client(fake.address, reconnect=timedelta(seconds=10)) as client:
        yield client


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Not a video, but the fake does not mind: 3 MB and a bit, no two chunks alike."""
    path = tmp_path / "source.mov"
    path.write_bytes(os.urandom(3_000_001))
    return path
