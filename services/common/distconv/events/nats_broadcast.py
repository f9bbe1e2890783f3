"""Hints between replicas as plain NATS messages: not stored, not acknowledged.

What is sent waits in a short queue for one task that writes it, so that nobody
waits for NATS; while NATS is away it is thrown away, and listeners are told of
a gap when it is back.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from nats.aio.client import Client
from nats.aio.msg import Msg

from distconv.core.errors import UnavailableError
from distconv.events.inbox import Inbox
from distconv.events.names import topic_matches
from distconv.events.nats_link import FAILURES, NatsLink, Session
from distconv.events.nats_settings import NatsSettings

_OUTBOX_LIMIT = 4096
_ECHO_TIMEOUT_S = 5.0


class NatsBroadcast:
    """Carry hints under the subjects `PREFIX.hints.TOPIC`."""

    def __init__(self, link: NatsLink, settings: NatsSettings) -> None:
        self._link = link
        self._root = f"{settings.prefix}.hints."
        self._listeners: list[tuple[str, Inbox]] = []
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=_OUTBOX_LIMIT)
        self._some = asyncio.Event()
        link.prepare(self._listen_on)

    def send(self, topic: str, data: bytes) -> None:
        """Tell whoever listens; lost while NATS is away."""
        if self._link.is_connected:
            self._waiting.append((topic, data))
            self._some.set()

    @contextmanager
    def listen(self, topic: str, *, limit: int = 1024) -> Iterator[Inbox]:
        """Hear a topic while the block lasts."""
        listener = (topic, Inbox(limit))
        self._listeners.append(listener)
        try:
            yield listener[1]
        finally:
            self._listeners.remove(listener)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write what is sent while the block lasts."""
        writer = asyncio.create_task(self._write(), name="nats_broadcast")
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    async def _write(self) -> None:
        while True:
            self._some.clear()
            while self._waiting:
                topic, data = self._waiting.popleft()
                with suppress(UnavailableError, *FAILURES):
                    await self._link.session().client.publish(self._root + topic, data)
            await self._some.wait()

    async def _listen_on(self, session: Session) -> None:
        await session.client.subscribe(f"{self._root}>", cb=self._hear)
        await _round_trip(session.client)
        for _, inbox in self._listeners:
            inbox.mark_gap()  # whatever was said while there was no connection

    async def _hear(self, message: Msg) -> None:
        topic = message.subject.removeprefix(self._root)
        for pattern, inbox in self._listeners:
            if topic_matches(pattern, topic):
                inbox.put(topic, message.data)


async def _round_trip(client: Client) -> None:
    """Return once the server has taken what was sent before.

    `Client.flush` does not tell: its ping passes by what waits in the buffer,
    a subscription too.
    """
    inbox = client.new_inbox()
    echo = await client.subscribe(inbox)
    await client.publish(inbox, b"")
    await echo.next_msg(timeout=_ECHO_TIMEOUT_S)
    await echo.unsubscribe()
