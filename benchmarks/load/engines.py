"""Simulated engines: real gRPC sessions, each on a connection of its own, that encode nothing.

Run as a process: it says `ready` when every session is welcomed, and on `{"do": "report"}` writes
what it was assigned since the last report to a file, and says `report`.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from benchmarks.load.media import result_of
from distconv.core.ids import new_id
from distconv.v1 import engine_pb2
from distconv.v1 import engine_service_pb2 as pb
from distconv.v1.engine_service_pb2_grpc import EngineServiceStub

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection each, as machines have
    ("grpc.enable_http_proxy", 0),
)
_CAPABILITIES = engine_pb2.EngineCapabilities(
    cpu_count=8,
    memory_bytes=16 << 30,
    scratch_bytes=100 << 30,
    platform="linux",
    architecture="x86_64",
    transcoders=[
        engine_pb2.TranscoderInfo(
            name="ffmpeg",
            version="9.0",
            build_id="simulated",
            encoders=["aac", "libopus", "libsvtav1", "libvpx-vp9", "libx264", "libx265"],
            decoders=["h264", "hevc", "aac"],
            muxers=["matroska", "mp4", "nut", "webm"],
            demuxers=["matroska", "mov"],
        )
    ],
)


@dataclass(slots=True, kw_only=True)
class Given:
    """One assignment; instants are seconds of the machine's monotonic clock, 0 when not yet."""

    engine: int
    attempt: str
    kind: str
    assigned_at: float
    sent_at: float = 0.0
    acked_at: float = 0.0
    accepted: bool = False


@dataclass(slots=True, kw_only=True)
class Pace:
    """How an engine works: its slots, and how long an attempt takes, seconds from … to …."""

    slot_count: int
    hold_s: tuple[float, float]


@dataclass(slots=True)
class Record:
    """What all engines were given."""

    given: list[Given] = field(default_factory=list)
    outstanding: dict[str, Given] = field(default_factory=dict)
    late_s: float = 0.0


class SimulatedEngine:
    """One engine: says hello, beats, takes what it is given and answers after a while."""

    def __init__(self, index: int, address: str, pace: Pace, record: Record) -> None:
        self._index = index
        self._pace = pace
        self._record = record
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._lock = asyncio.Lock()
        self._call: Any = None
        self._works: set[asyncio.Task[None]] = set()
        self._running: dict[str, pb.AttemptReport] = {}
        self._results: dict[str, pb.AttemptResult] = {}

    async def connect(self) -> float:
        """Open the session and return the heartbeat interval, seconds."""
        self._call = EngineServiceStub(self._channel).Connect()
        hello = pb.Hello(
            engine_id=new_id(datetime.now(UTC)),
            display_name=f"simulated-{self._index}",
            version="0",
            capabilities=_CAPABILITIES,
            slot_count=self._pace.slot_count,
        )
        await self._write(pb.EngineMessage(hello=hello))
        welcome = await self._call.read()
        if welcome is grpc.aio.EOF:
            raise SystemExit(f"engine {self._index} was refused: {await self._call.details()}")
        return float(welcome.welcome.settings.heartbeat_interval.ToTimedelta().total_seconds())

    async def run(self) -> None:
        """Take messages until the session ends."""
        while (message := await self._call.read()) is not grpc.aio.EOF:
            match message.WhichOneof("message"):
                case "assignment":
                    self._take(message.assignment)
                case "result_ack":
                    self._acknowledged(message.result_ack)
                case "cancel_attempt":
                    self._running.pop(message.cancel_attempt.attempt, None)
                case _:
                    pass

    async def beat(self, interval_s: float) -> None:
        """Send a heartbeat at every interval, from a random beginning, as a fleet's are."""
        await asyncio.sleep(random.uniform(0, interval_s))  # noqa: S311  # spreads load, guards nothing
        due = time.monotonic()
        told: list[pb.AttemptResult] = []
        while True:
            beat = pb.Heartbeat(
                attempts=list(self._running.values()),
                metrics=engine_pb2.EngineMetrics(cpu_fraction=0.5, memory_used_bytes=4 << 30),
            )
            await self._write(pb.EngineMessage(heartbeat=beat))
            for result in told:  # not acknowledged within a whole beat: told again
                if result.attempt in self._results:
                    await self._write(pb.EngineMessage(attempt_result=result))
            told = list(self._results.values())
            due += interval_s
            self._record.late_s = max(self._record.late_s, time.monotonic() - due)
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def close(self) -> None:
        """Drop the connection."""
        await self._channel.close()

    async def _write(self, message: pb.EngineMessage) -> None:
        async with self._lock:
            await self._call.write(message)

    def _take(self, assignment: pb.Assignment) -> None:
        given = Given(
            engine=self._index,
            attempt=assignment.attempt,
            kind=assignment.WhichOneof("work") or "",
            assigned_at=time.monotonic(),
        )
        self._record.given.append(given)
        self._record.outstanding[given.attempt] = given
        work = asyncio.create_task(self._work(assignment, given))
        self._works.add(work)
        work.add_done_callback(self._works.discard)

    async def _work(self, assignment: pb.Assignment, given: Given) -> None:
        report = pb.AttemptReport(
            attempt=given.attempt,
            fencing_token=assignment.fencing_token,
            phase=pb.ATTEMPT_PHASE_ENCODING,
        )
        self._running[given.attempt] = report
        reply = pb.AssignmentReply(
            attempt=given.attempt, fencing_token=assignment.fencing_token, accepted=True
        )
        await self._write(pb.EngineMessage(assignment_reply=reply))
        hold_s = random.uniform(*self._pace.hold_s)  # noqa: S311
        if hold_s > 0:
            await asyncio.sleep(hold_s)
        if given.attempt not in self._running:
            return  # cancelled
        report.phase = pb.ATTEMPT_PHASE_ENDED
        result = self._results[given.attempt] = result_of(assignment)
        await self._write(pb.EngineMessage(attempt_result=result))
        given.sent_at = time.monotonic()

    def _acknowledged(self, ack: pb.ResultAck) -> None:
        self._running.pop(ack.attempt, None)
        self._results.pop(ack.attempt, None)
        given = self._record.outstanding.pop(ack.attempt, None)
        if given is not None:
            given.acked_at, given.accepted = time.monotonic(), ack.accepted


async def _serve(options: argparse.Namespace) -> None:
    record = Record()
    pace = Pace(slot_count=options.slots, hold_s=(options.hold_min_s, options.hold_max_s))
    engines = [
        SimulatedEngine(options.first + index, options.address, pace, record)
        for index in range(options.engines)
    ]
    intervals = []
    for start in range(0, len(engines), 32):  # a fleet comes up over a while
        intervals += await asyncio.gather(*(e.connect() for e in engines[start : start + 32]))
    tasks = [asyncio.create_task(e.run()) for e in engines]
    tasks += [
        asyncio.create_task(e.beat(interval))
        for e, interval in zip(engines, intervals, strict=True)
    ]
    _say(event="ready", engines=len(engines))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        if request["do"] == "report":
            await asyncio.to_thread(_report, record, Path(request["path"]))
        if request["do"] == "hold":
            pace.hold_s = (request["min_s"], request["max_s"])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*(e.close() for e in engines))


def _report(record: Record, path: Path) -> None:
    given, record.given = record.given, []
    rows = [
        (g.engine, g.attempt, g.kind, g.assigned_at, g.sent_at, g.acked_at, g.accepted)
        for g in given
    ]
    path.write_text(json.dumps(rows))
    _say(event="report", count=len(rows), late_s=record.late_s)
    record.late_s = 0.0


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    """Run the engines until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--engines", type=int, default=8)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--hold-min-s", type=float, default=0.0)
    parser.add_argument("--hold-max-s", type=float, default=0.0)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
