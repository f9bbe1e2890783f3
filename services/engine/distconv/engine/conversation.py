"""What goes to and fro between engine and dispatch once a session stands."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import structlog
from google.protobuf.duration_pb2 import Duration

from distconv.core.errors import DistconvError, UnavailableError
from distconv.engine import wire
from distconv.engine.benchmarker import Benchmarker
from distconv.engine.message_stream import MessageStream
from distconv.engine.supervisor import Supervisor
from distconv.rpc.convert.times import to_timedelta
from distconv.v1 import engine_pb2
from distconv.v1 import engine_service_pb2 as pb

_log = structlog.get_logger()

# How long a stopping engine waits for dispatch to take note of what it gives back.
_FAREWELL_S = 3.0
_DEFAULT_HEARTBEAT_S = 5.0
_SHORTEST_HEARTBEAT_S = 0.05
# Heartbeats come up to so much early, by chance: those of a fleet must not fall into step.
_HEARTBEAT_JITTER = 0.15
# dispatch answers every heartbeat. One that has said nothing for this part of a lease is given
# up for another replica while there is still time to re-attach there.
_SILENCE_OF_LEASE = 0.5


class SentElsewhereError(UnavailableError):
    """The server drains and named the servers to go to instead."""

    def __init__(self, reason: str, addresses: Sequence[str]) -> None:
        super().__init__(reason or "the server drains")
        self.addresses = tuple(addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often to be heard, and after what silence of dispatch to give it up (None: never)."""

    heartbeat_s: float
    silence_s: float | None

    @classmethod
    def of(cls, settings: pb.SessionSettings) -> Self:
        """Read it from what dispatch wishes."""
        heartbeat_s = _DEFAULT_HEARTBEAT_S
        if settings.HasField("heartbeat_interval"):
            heartbeat_s = max(_SHORTEST_HEARTBEAT_S, _seconds(settings.heartbeat_interval))
        silence_s = None
        if settings.HasField("lease_duration"):
            lease_s = _seconds(settings.lease_duration)
            silence_s = max(lease_s * _SILENCE_OF_LEASE, 2 * heartbeat_s)
        return cls(heartbeat_s=heartbeat_s, silence_s=silence_s)


def _seconds(value: Duration) -> float:
    return to_timedelta(value).total_seconds()


class Conversation:
    """Listen to dispatch, and tell it what is."""

    def __init__(
        self,
        supervisor: Supervisor,
        benchmarker: Benchmarker,
        stream: MessageStream,
        *,
        pace: Pace,
        progress_interval_s: float,
        measure: Callable[[], engine_pb2.EngineMetrics],
    ) -> None:
        """`measure` makes the metrics of a heartbeat."""
        self._supervisor = supervisor
        self._benchmarker = benchmarker
        self._stream = stream
        self._pace = pace
        self._progress_interval_s = progress_interval_s
        self._measure = measure
        self._replies: deque[pb.AssignmentReply] = deque()
        # When each result was last told in this session: a new session tells all of them anew.
        self._told: dict[str, float] = {}

    async def listen(self) -> None:
        """Do what dispatch says until it ends the stream, sends elsewhere or falls silent.

        Raises UnavailableError in each case.
        """
        while (message := await self._next()) is not None:
            self._hear(message)
        raise UnavailableError(f"{self._stream.address} ended the session")

    async def _next(self) -> pb.DispatchMessage | None:
        silence_s = self._pace.silence_s
        try:
            async with asyncio.timeout(silence_s):
                return await self._stream.read()
        except TimeoutError:
            raise UnavailableError(
                f"{self._stream.address} has not answered for {silence_s:g} s"
            ) from None

    def _hear(self, message: pb.DispatchMessage) -> None:
        supervisor = self._supervisor
        match message.WhichOneof("message"):
            case "assignment":
                self._take(message.assignment)
            case "cancel_attempt":
                cancel = message.cancel_attempt
                supervisor.cancel(cancel.attempt, cancel.fencing_token)
            case "result_ack":
                ack = message.result_ack
                self._told.pop(ack.attempt, None)
                supervisor.acknowledge(ack.attempt, ack.fencing_token)
            case "heartbeat_ack":
                supervisor.drop_stale(message.heartbeat_ack.stale_attempts)
            case "settings":
                self._pace = Pace.of(message.settings)
            case "drain":
                self._drain(message.drain)
            case "benchmark_request":
                request = message.benchmark_request
                self._benchmarker.request(request.codecs, request.heights)
            case other:
                _log.warning("message_not_understood", kind=other)

    def _drain(self, drain: pb.Drain) -> None:
        _log.info(
            "dispatch_drains",
            dispatch=self._stream.address,
            reason=drain.reason,
            instead=list(drain.dispatch_addresses),
        )
        # What runs goes on: the next server's Hello re-attaches it.
        if drain.dispatch_addresses:
            raise SentElsewhereError(drain.reason, drain.dispatch_addresses)

    def _take(self, message: pb.Assignment) -> None:
        address = self._stream.address
        try:
            assignment = wire.to_assignment(message, dispatch_address=address)
            refusal = self._supervisor.assign(
                attempt=assignment.attempt,
                fencing_token=assignment.fencing_token,
                payload=message.SerializeToString(),
                dispatch_address=address,
                scratch_bytes=wire.scratch_bytes(assignment),
            )
        except DistconvError as error:
            refusal = error.message
        self._replies.append(
            pb.AssignmentReply(
                attempt=message.attempt,
                fencing_token=message.fencing_token,
                accepted=not refusal,
                refusal=refusal,
            )
        )
        self._supervisor.changed.set()

    async def tell(self) -> None:
        """Say what is: at once when something changed, but not too often, and at every interval."""
        loop = asyncio.get_running_loop()
        while True:
            self._supervisor.changed.clear()
            await self._tell_once(loop.time())
            settle = loop.time() + self._progress_interval_s
            await wait_for(self._supervisor.changed, self._heartbeat_s())
            # Progress may wait a little; answers and results may not.
            while not self._urgent() and (left := settle - loop.time()) > 0:
                self._supervisor.changed.clear()
                await wait_for(self._supervisor.changed, left)

    def _heartbeat_s(self) -> float:
        early = _HEARTBEAT_JITTER * random.random()  # noqa: S311 - no secret
        return self._pace.heartbeat_s * (1 - early)

    def _urgent(self) -> bool:
        return bool(self._replies) or any(
            r.attempt not in self._told for r in self._supervisor.unacknowledged()
        )

    async def _tell_once(self, now: float) -> None:
        while self._replies:
            reply = self._replies.popleft()
            await self._stream.write(pb.EngineMessage(assignment_reply=reply))
        for lines in self._supervisor.take_logs():
            await self._stream.write(pb.EngineMessage(log_excerpt=wire.log_excerpt(lines)))
        for result in self._supervisor.unacknowledged():
            if now - self._told.get(result.attempt, float("-inf")) >= self._pace.heartbeat_s:
                self._told[result.attempt] = now
                await self._stream.write(pb.EngineMessage(attempt_result=wire.unseal(result)))
        if found := self._benchmarker.take_results():
            await self._stream.write(
                pb.EngineMessage(benchmark_report=wire.benchmark_report(found))
            )
        await self._stream.write(
            pb.EngineMessage(
                heartbeat=pb.Heartbeat(
                    attempts=[wire.report(r) for r in self._supervisor.reports()],
                    metrics=self._measure(),
                    draining=self._supervisor.draining,
                )
            )
        )

    async def leave(self, stop: asyncio.Event) -> None:
        """Once `stop` is set, give back what runs and wait a little until dispatch knows."""
        await stop.wait()
        await self._supervisor.shut_down()
        self._supervisor.changed.set()
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self._supervisor.wait_acknowledged()
        except TimeoutError:
            _log.warning("results_not_acknowledged")


async def wait_for(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for an event, `timeout_s` at most."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
