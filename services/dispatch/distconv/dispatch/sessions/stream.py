"""Hold one engine's session for as long as its stream lasts; knows nothing of the stream itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from distconv.core.errors import DistconvError, InternalError
from distconv.dispatch.sessions.handling import EngineMessages
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.sessions.messages import FromEngine, Hello
from distconv.dispatch.sessions.session import EngineSession

_log = structlog.get_logger()

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None] | None"]


class SessionStreams:
    """Open sessions, read what their engines say, close them."""

    def __init__(self, hub: SessionHub, messages: EngineMessages, spawn: Spawn) -> None:
        """`spawn` runs a coroutine in the process's task group."""
        self._hub = hub
        self._messages = messages
        self._spawn = spawn

    @asynccontextmanager
    async def hold(
        self, tenant: str, hello: Hello, incoming: AsyncIterator[FromEngine]
    ) -> AsyncIterator[EngineSession]:
        """Hold a session while the block lasts; the block sends what is `outbound`.

        `incoming` ends, without an error, when the engine says no more. Raises
        PermissionDeniedError and UnavailableError.
        """
        session = await self._hub.open(tenant, hello)
        # The reader is no child of the block: grpc may drop a generator at a yield.
        reader = self._spawn(self._read(session, hello, incoming))
        try:
            yield session
        finally:
            if reader is not None:
                reader.cancel()
            self._hub.close(session)

    async def _read(
        self, session: EngineSession, hello: Hello, incoming: AsyncIterator[FromEngine]
    ) -> None:
        try:
            await self._messages.take_reports(session, tuple(hello.attempts))
            async for message in incoming:
                if not session.ended:
                    await self._messages.take(session, message)
            session.end()
        except DistconvError as error:
            session.end(error)
        except Exception:  # noqa: BLE001  # logged with its traceback
            _log.exception("session_failed", engine=session.engine.id)
            session.end(InternalError("a fault of the server; connect again"))
