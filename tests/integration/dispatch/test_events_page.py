"""The consumer in docs/events.md runs as it stands there."""

import asyncio
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from distconv.core.clock import SystemClock
from distconv.dispatch.events.wire import event_of
from distconv.dispatch.store.records import OutboxRecord
from distconv.events.nats import open_nats
from distconv.events.nats_settings import NatsSettings
from distconv.v1 import event_pb2
from servers import NatsServer, nats_server

PAGE = Path(__file__).parents[3] / "docs" / "events.md"
FINISHED = OutboxRecord(
    id="0000000000000001",
    tenant="local",
    type="JobFinished",
    subject="jobs/0000000000000002",
    payload={"state": "COMPLETED", "size_bytes": "500"},
    time=datetime(2030, 1, 1, tzinfo=UTC),
    sequence=7,
)


async def test_the_consumer_of_the_page_runs(nats: NatsServer, tmp_path: Path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    script = tmp_path / "consumer.py"
    script.write_text(code, encoding="utf-8")
    with nats_server() as server:
        async with open_nats(NatsSettings(servers=(server.url,)), SystemClock()) as opened:
            async with asyncio.timeout(20):
                await opened.link.wait()
                other = replace(FINISHED, id="0000000000000003", type="JobQueued")
                await opened.bus.publish([event_of(other), event_of(FINISHED)])
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(script), server.url, stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            try:
                async with asyncio.timeout(20):
                    line = await process.stdout.readline()
            finally:
                process.kill()
                await process.communicate()
    assert line.decode().split() == ["jobs/0000000000000002", "500"]


def test_every_message_that_is_told_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    parts = {"JobMove", "EngineMove", "Event", "DeadLetter"}
    for name in event_pb2.DESCRIPTOR.message_types_by_name:
        assert name in parts or f"`{name}`" in page, name
