"""Hold the session with dispatch: one outbound stream, level-triggered, again after every break."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

import grpc.aio
import structlog

from distconv.core.errors import (
    AlreadyExistsError,
    DistconvError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from distconv.engine import wire
from distconv.engine.supervisor import Supervisor
from distconv.rpc.channel import open_channel
from distconv.rpc.convert.times import to_timedelta
from distconv.rpc.errors import translated
from distconv.v1 import engine_pb2
from distconv.v1 import engine_service_pb2 as pb
from distconv.v1.engine_service_pb2_grpc import EngineServiceStub

_log = structlog.get_logger()

_WELCOME_TIMEOUT_S = 10.0
# How long a stopping engine waits for dispatch to take note of what it gives back.
_FAREWELL_S = 3.0
_DEFAULT_HEARTBEAT = timedelta(seconds=5)

# Nothing that connecting again could mend.
_FATAL = (AlreadyExistsError, InvalidArgumentError, PermissionDeniedError)


class Session:
    """The engine's side of EngineService.Connect.

    `describe` makes the Hello without its attempts; `measure` the metrics of a
    heartbeat; `on_ready` is told the engine's resource name at every welcome.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        addresses: Sequence[str],
        describe: Callable[[], pb.Hello],
        measure: Callable[[], engine_pb2.EngineMetrics],
        on_ready: Callable[[str, str], None],
        progress_interval_s: float,
        reconnect_s: tuple[float, float],
    ) -> None:
        self._supervisor = supervisor
        self._addresses = deque(addresses)
        self._describe = describe
        self._measure = measure
        self._on_ready = on_ready
        self._progress_interval_s = progress_interval_s
        self._reconnect_s = reconnect_s
        self._welcomed = False

    async def run(self, stop: asyncio.Event) -> None:
        """Hold the session until `stop`; then give back what runs, and leave.

        Raises PermissionDeniedError when the engine is revoked,
        AlreadyExistsError when another process has taken its identity.
        """
        delay_s = self._reconnect_s[0]
        while True:
            address = self._addresses[0]
            self._welcomed = False
            try:
                await self._hold(address, stop)
            except* _FATAL as group:
                raise _first(group) from None
            except* DistconvError as group:
                _log.warning("session_lost", dispatch=address, error=_first(group).message)
            if self._welcomed:
                delay_s = self._reconnect_s[0]
            if stop.is_set():
                return
            self._addresses.rotate(-1)
            # Full jitter: a thousand engines must not come back in the same instant.
            await _wait(stop, delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            delay_s = min(delay_s * 2, self._reconnect_s[1])
            if stop.is_set():
                return

    async def _hold(self, address: str, stop: asyncio.Event) -> None:
        async with open_channel(address) as channel:
            call = EngineServiceStub(channel).Connect()
            stream = _Stream(call, address)
            try:
                await self._converse(stream, stop)
            finally:
                call.cancel()

    async def _converse(self, stream: "_Stream", stop: asyncio.Event) -> None:
        hello = self._describe()
        hello.attempts.extend(wire.report(r) for r in self._supervisor.reports())
        await stream.write(pb.EngineMessage(hello=hello))
        try:
            async with asyncio.timeout(_WELCOME_TIMEOUT_S):
                first = await stream.read()
        except TimeoutError:
            raise UnavailableError(f"{stream.address} does not answer the engine's hello") from None
        if first is None or not first.HasField("welcome"):
            raise UnavailableError(f"{stream.address} ended the session before it began")
        welcome = first.welcome
        self._supervisor.drop_stale(welcome.stale_attempts)
        self._welcomed = True
        _log.info("session_opened", dispatch=stream.address, session=welcome.session_id)
        self._on_ready(welcome.engine, stream.address)
        conversation = _Conversation(
            self._supervisor,
            stream,
            heartbeat_s=_heartbeat_s(welcome.settings),
            progress_interval_s=self._progress_interval_s,
            measure=self._measure,
        )
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(conversation.listen())
            telling = group.create_task(conversation.tell())
            leaving = group.create_task(conversation.leave(stop))
            listening.add_done_callback(lambda _: (telling.cancel(), leaving.cancel()))
            leaving.add_done_callback(lambda _: (telling.cancel(), listening.cancel()))


class _Stream:
    """One stream of messages, its errors those of the tree."""

    def __init__(
        self,
        call: "grpc.aio.StreamStreamCall[pb.EngineMessage, pb.DispatchMessage]",
        address: str,
    ) -> None:
        self._call = call
        self.address = address

    async def write(self, message: pb.EngineMessage) -> None:
        with translated(self.address):
            try:
                await self._call.write(message)
            except asyncio.InvalidStateError as error:
                raise UnavailableError(f"the session with {self.address} is over") from error

    async def read(self) -> pb.DispatchMessage | None:
        with translated(self.address):
            message = await self._call.read()
            return message if isinstance(message, pb.DispatchMessage) else None


class _Conversation:
    """What goes to and fro once the session stands."""

    def __init__(
        self,
        supervisor: Supervisor,
        stream: _Stream,
        *,
        heartbeat_s: float,
        progress_interval_s: float,
        measure: Callable[[], engine_pb2.EngineMetrics],
    ) -> None:
        self._supervisor = supervisor
        self._stream = stream
        self._heartbeat_s = heartbeat_s
        self._progress_interval_s = progress_interval_s
        self._measure = measure
        self._replies: deque[pb.AssignmentReply] = deque()
        self._told: dict[str, float] = {}

    async def listen(self) -> None:
        """Do what dispatch says until it ends the stream."""
        while (message := await self._stream.read()) is not None:
            self._hear(message)
        raise UnavailableError(f"{self._stream.address} ended the session")

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
                self._heartbeat_s = _heartbeat_s(message.settings)
            case "drain":
                _log.info("dispatch_drains", reason=message.drain.reason)
            case other:
                _log.warning("message_not_understood", kind=other)

    def _take(self, message: pb.Assignment) -> None:
        address = self._stream.address
        try:
            assignment = wire.to_assignment(message, dispatch_address=address)
            refusal = self._supervisor.assign(
                attempt=assignment.attempt,
                fencing_token=assignment.fencing_token,
                payload=message.SerializeToString(),
                dispatch_address=address,
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
            await _wait(self._supervisor.changed, self._heartbeat_s)
            # Progress may wait a little; answers and results may not.
            while not self._urgent() and (left := settle - loop.time()) > 0:
                self._supervisor.changed.clear()
                await _wait(self._supervisor.changed, left)

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
            if now - self._told.get(result.attempt, float("-inf")) >= self._heartbeat_s:
                self._told[result.attempt] = now
                await self._stream.write(pb.EngineMessage(attempt_result=wire.unseal(result)))
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


def _heartbeat_s(settings: pb.SessionSettings) -> float:
    if not settings.HasField("heartbeat_interval"):
        return _DEFAULT_HEARTBEAT.total_seconds()
    return max(0.05, to_timedelta(settings.heartbeat_interval).total_seconds())


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass


def _first(group: BaseExceptionGroup[DistconvError]) -> DistconvError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
