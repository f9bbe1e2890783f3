"""The connection to NATS: made anew for ever, and never waited for by those who must be fast.

nats-py can reconnect by itself, but keeps what is written meanwhile in a buffer
and sends it later, without what was lost on the way before it. Events must not
change their order so: here a lost connection fails whatever was under way on
it, and the next one is a new one.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import nats.errors
import structlog
from nats.aio.client import Client

from distconv.core.errors import UnavailableError
from distconv.events.nats_settings import NatsSettings

_log = structlog.get_logger()

_T = TypeVar("_T")

# What nats-py raises when the server or the way to it is at fault.
FAILURES = (nats.errors.Error, TimeoutError, OSError)

_DENIED = re.compile(r"permissions violation for publish to \"([^\"]+)\"", re.IGNORECASE)

# Called on every new connection before anybody else may use it.
Prepare = Callable[["Session"], Coroutine[Any, Any, None]]

# The longest answer: of a server that recovers a large stream.
_PREPARE_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 5.0


class Session:
    """One connection; `lost` is set once it is over."""

    def __init__(self, client: Client, forget: Callable[["Session"], None]) -> None:
        """`forget` is called when it is over."""
        self.client = client
        self.jetstream = client.jetstream(timeout=_ANSWER_TIMEOUT_S)
        self.lost = asyncio.Event()
        # Subjects that the server said this client may not publish to, in lower case.
        self.denied_subjects: set[str] = set()
        self._forget = forget

    def end(self) -> None:
        """Note that it is over."""
        self.lost.set()
        self._forget(self)

    async def say(self, subject: str, data: bytes) -> None:
        """Put a message into the buffer, from where it goes out with what follows at once."""
        try:
            await self.client.publish(subject, data)
        except nats.errors.ConnectionClosedError:
            self.end()
            raise

    async def guard(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await work on this connection; raises UnavailableError when it is lost before."""
        doing: asyncio.Future[_T] = asyncio.ensure_future(work)
        losing = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait((doing, losing), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise UnavailableError("the connection to NATS was lost")
        except nats.errors.ConnectionClosedError:
            self.end()
            raise
        finally:
            losing.cancel()
            if doing.cancel():
                doing.add_done_callback(_pass_over)


def _pass_over(doing: "asyncio.Future[Any]") -> None:
    """Look at how abandoned work ended: asyncio complains about errors that nobody sees."""
    if not doing.cancelled():
        doing.exception()


class NatsLink:
    """Hold at most one connection, and try for the next as long as it runs."""

    def __init__(self, settings: NatsSettings, *, randomness: Callable[[], float]) -> None:
        """`randomness` returns 0..1, to spread the reconnecting of many."""
        self._settings = settings
        self._randomness = randomness
        self._session: Session | None = None
        self._connected = asyncio.Event()
        self._why = "no connection was made yet"
        self._steps: list[Prepare] = []

    def prepare(self, step: Prepare) -> None:
        """Have `step` run on every new connection before others use it."""
        self._steps.append(step)

    @property
    def is_connected(self) -> bool:
        """Tell whether there is a connection."""
        return self._session is not None

    def session(self) -> Session:
        """Return the connection; raises UnavailableError at once when there is none."""
        if self._session is None:
            raise UnavailableError(
                f"NATS at {self._where} is away: {self._why}; it is tried again by itself"
            )
        return self._session

    async def wait(self) -> Session:
        """Wait for a connection."""
        while self._session is None:
            await self._connected.wait()
        return self._session

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connect, and connect again, while the block lasts; it begins without waiting."""
        keeper = asyncio.create_task(self._keep(), name="nats_link")
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _keep(self) -> None:
        failures = 0
        while True:
            session = Session(Client(), self._forget)
            try:
                await self._connect(session)
                failures = 0
                await self._until_lost(session)
                _log.warning("nats_lost", servers=self._where, why=self._why)
            except (*FAILURES, UnavailableError) as error:
                failures += 1
                self._why = str(error) or type(error).__name__
                if failures == 1:
                    _log.warning("nats_away", servers=self._where, why=self._why)
            finally:
                session.end()
                await _close(session)
            await asyncio.sleep(self._delay_s(failures))

    async def _connect(self, session: Session) -> None:
        settings = self._settings

        async def closed() -> None:
            session.end()

        async def failed(error: Exception) -> None:
            if (denied := _DENIED.search(str(error))) is not None:
                session.denied_subjects.add(denied[1].lower())
            self._why = str(error) or type(error).__name__

        async with asyncio.timeout(_PREPARE_TIMEOUT_S):
            await session.client.connect(
                list(settings.servers),
                name=settings.name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=max(1, round(settings.connect_timeout.total_seconds())),
                ping_interval=max(1, round(settings.ping_interval.total_seconds())),
                closed_cb=closed,
                error_cb=failed,
                user_credentials=settings.credentials_file or None,
            )
            for step in self._steps:
                await session.guard(step(session))
        if session.lost.is_set() or not session.client.is_connected:
            raise UnavailableError("the connection to NATS was lost")
        self._session = session
        self._connected.set()
        _log.info("nats_connected", servers=self._where)

    async def _until_lost(self, session: Session) -> None:
        """Wait until a connection is over.

        The client library does not always call back: when it ends a connection
        from within a task that it cancels by that, the callback is skipped.
        """
        while not session.lost.is_set():
            try:
                async with asyncio.timeout(self._settings.ping_interval.total_seconds()):
                    await session.lost.wait()
            except TimeoutError:
                if not session.client.is_connected:
                    return

    def _forget(self, session: Session) -> None:
        if self._session is session:
            self._session = None
            self._connected.clear()

    def _delay_s(self, failures: int) -> float:
        """Return a delay that doubles with every failure, the whole of it jitter but for half."""
        settings = self._settings
        longest = min(
            settings.first_reconnect_delay * (1 << min(failures, 20)),
            settings.max_reconnect_delay,
        )
        return longest.total_seconds() * (0.5 + 0.5 * self._randomness())

    @property
    def _where(self) -> str:
        """Return the servers without the user and the password in their URLs."""
        return ", ".join(server.rpartition("@")[2] for server in self._settings.servers)


@contextmanager
def as_unavailable(doing: str) -> Iterator[None]:
    """Raise what NATS raises as UnavailableError; `doing` begins its message."""
    try:
        yield
    except FAILURES as error:
        raise UnavailableError(f"{doing}: {error or type(error).__name__}") from error


async def _close(session: Session) -> None:
    try:
        async with asyncio.timeout(1.0):
            await session.client.close()
    except FAILURES:
        pass  # it is thrown away either way
