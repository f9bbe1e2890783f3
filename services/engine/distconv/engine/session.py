"""Hold the session with dispatch: one outbound stream, again after every break, on any replica."""

import asyncio
import random
from collections.abc import Callable, Sequence

import structlog

from distconv.core.errors import (
    AlreadyExistsError,
    DistconvError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from distconv.engine import wire
from distconv.engine.addresses import AddressBook
from distconv.engine.benchmarker import Benchmarker
from distconv.engine.conversation import Conversation, Pace, SentElsewhereError, wait_for
from distconv.engine.message_stream import MessageStream
from distconv.engine.supervisor import Supervisor
from distconv.rpc.channel import open_channel
from distconv.v1 import engine_pb2
from distconv.v1 import engine_service_pb2 as pb
from distconv.v1.engine_service_pb2_grpc import EngineServiceStub

_log = structlog.get_logger()

# From connecting to the Welcome. A server that hangs must not hold an engine until its leases end.
_WELCOME_TIMEOUT_S = 8.0

# Nothing that connecting again could mend.
_FATAL = (AlreadyExistsError, InvalidArgumentError, PermissionDeniedError)


class Session:
    """The engine's side of EngineService.Connect.

    `describe` makes the Hello without its attempts; `measure` the metrics of a
    heartbeat; `on_ready` is told the engine's resource name and the server's
    address at every welcome.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        benchmarker: Benchmarker,
        addresses: Sequence[str],
        describe: Callable[[], pb.Hello],
        measure: Callable[[], engine_pb2.EngineMetrics],
        on_ready: Callable[[str, str], None],
        progress_interval_s: float,
        reconnect_s: tuple[float, float],
        tls_ca: bytes | None = None,
    ) -> None:
        self._tls_ca = tls_ca
        self._supervisor = supervisor
        self._benchmarker = benchmarker
        self._addresses = AddressBook(
            addresses,
            pause_s=reconnect_s,
            randomness=random.random,
        )
        self._describe = describe
        self._measure = measure
        self._on_ready = on_ready
        self._progress_interval_s = progress_interval_s
        self._welcomed = False

    async def run(self, stop: asyncio.Event) -> None:
        """Hold the session until `stop`; then give back what runs, and leave.

        Raises PermissionDeniedError when the engine is revoked,
        AlreadyExistsError when another process has taken its identity.
        """
        while not stop.is_set():
            address = self._addresses.current
            self._welcomed = False
            try:
                await self._hold(address, stop)
            except* _FATAL as group:
                raise _first(group) from None
            except* SentElsewhereError as group:
                self._follow(_first(group))
            except* DistconvError as group:
                _log.warning("session_lost", dispatch=address, error=_first(group).message)
            if stop.is_set():
                return
            pause_s = self._addresses.lost() if self._welcomed else self._addresses.failed()
            await wait_for(stop, pause_s)

    def _follow(self, sent: DistconvError) -> None:
        if isinstance(sent, SentElsewhereError):
            self._addresses.sent_to(sent.addresses)

    async def _hold(self, address: str, stop: asyncio.Event) -> None:
        async with open_channel(address, tls_ca=self._tls_ca) as channel:
            call = EngineServiceStub(channel).Connect()
            stream = MessageStream(call, address)
            try:
                await self._converse(stream, stop)
            finally:
                call.cancel()

    async def _converse(self, stream: MessageStream, stop: asyncio.Event) -> None:
        welcome = await self._introduce(stream)
        self._supervisor.drop_stale(welcome.stale_attempts)
        self._welcomed = True
        self._addresses.answered()
        _log.info("session_opened", dispatch=stream.address, session=welcome.session_id)
        self._on_ready(welcome.engine, stream.address)
        conversation = Conversation(
            self._supervisor,
            self._benchmarker,
            stream,
            pace=Pace.of(welcome.settings),
            progress_interval_s=self._progress_interval_s,
            measure=self._measure,
        )
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(conversation.listen())
            telling = group.create_task(conversation.tell())
            leaving = group.create_task(conversation.leave(stop))
            listening.add_done_callback(lambda _: (telling.cancel(), leaving.cancel()))
            leaving.add_done_callback(lambda _: (telling.cancel(), listening.cancel()))

    async def _introduce(self, stream: MessageStream) -> pb.Welcome:
        hello = self._describe()
        hello.attempts.extend(wire.report(r) for r in self._supervisor.reports())
        try:
            async with asyncio.timeout(_WELCOME_TIMEOUT_S):
                await stream.write(pb.EngineMessage(hello=hello))
                first = await stream.read()
        except TimeoutError:
            raise UnavailableError(
                f"{stream.address} does not answer the engine's hello within "
                f"{_WELCOME_TIMEOUT_S:g} s"
            ) from None
        if first is None or not first.HasField("welcome"):
            raise UnavailableError(f"{stream.address} ended the session before it began")
        return first.welcome


def _first(group: BaseExceptionGroup[DistconvError]) -> DistconvError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
