"""Hints between replicas as plain NATS messages: not stored, not acknowledged.

What is sent waits in a short queue for one task that writes it, so that nobody
waits for NATS; while NATS is away it is thrown away. When it is back, everyone
who listens is told of a gap: by the end that was away, of what it may not have
heard and of what it could not send.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg

from distconv.core.errors import UnavailableError
from distconv.events.inbox import Inbox
from distconv.events.names import topic_matches
from distconv.events.nats_link import FAILURES, NatsLink, Session
from distconv.events.nats_settings import NatsSettings

_OUTBOX_LIMIT = 4096
_ECHO_TIMEOUT_S = 5.0
_RETRY_S = 1.0

# Says that whoever sends it could not send something before.
_GAP = "gap"


class NatsBroadcast:
    """Carry hints under the subjects `PREFIX.hints.TOPIC`."""

    def __init__(self, link: NatsLink, settings: NatsSettings) -> None:
        self._link = link
        self._root = f"{settings.prefix}.hints."
        self._listeners: list[tuple[str, Inbox]] = []
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=_OUTBOX_LIMIT)
        self._some = asyncio.Event()
        self._has_lost = False
        link.prepare(self._listen_on)

    def send(self, topic: str, data: bytes) -> None:
        """Tell whoever listens; while NATS is away they learn later that something was lost."""
        if self._link.is_connected:
            self._has_lost |= len(self._waiting) == _OUTBOX_LIMIT
            self._waiting.append((topic, data))
        else:
            self._has_lost = True
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
            if self._has_lost:
                await self._link.wait()
                self._has_lost = False
                await self._put(_GAP, b"")
            while self._waiting:
                await self._put(*self._waiting.popleft())
            if self._has_lost:
                await asyncio.sleep(_RETRY_S)
            else:
                await self._some.wait()

    async def _put(self, topic: str, data: bytes) -> None:
        try:
            await self._link.session().say(self._root + topic, data)
        except (UnavailableError, *FAILURES):
            self._has_lost = True

    async def _listen_on(self, session: Session) -> None:
        await session.client.subscribe(f"{self._root}>", cb=self._hear)
        await _round_trip(session.client)
        for _, inbox in self._listeners:
            inbox.mark_gap()  # whatever was said while there was no connection

    async def _hear(self, message: Msg) -> None:
        topic = message.subject.removeprefix(self._root)
        for pattern, inbox in self._listeners:
            if topic == _GAP:
                inbox.mark_gap()
            elif topic_matches(pattern, topic):
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
