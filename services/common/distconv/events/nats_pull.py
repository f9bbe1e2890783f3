"""Take messages from a durable consumer, over any number of connections and server restarts."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as Inbox

from distconv.core.errors import UnavailableError
from distconv.events.nats_link import FAILURES, NatsLink, Session

_log = structlog.get_logger()

# A request to a consumer is made anew after so long: should the server have
# forgotten it (its leader moved, the consumer was made anew), no more is lost.
_EXPIRES = timedelta(seconds=30)
_MARGIN_S = 2.0
_AFTER_FAILURE_S = 1.0


class NatsPull:
    """One message at a time: the time for its acknowledgement starts when it is asked for."""

    def __init__(
        self,
        link: NatsLink,
        *,
        stream: str,
        ensure: Callable[[Session], Coroutine[Any, Any, str]],
    ) -> None:
        """`ensure` makes the consumer on a new connection if it is not there; returns its name."""
        self._link = link
        self._stream = stream
        self._ensure = ensure
        self._consumer = ""
        self._session: Session | None = None
        self._inbox: Inbox | None = None
        self._asked = False

    async def next(self) -> Msg:
        """Wait for a message, however often the server goes away meanwhile."""
        while True:
            session = await self._link.wait()
            try:
                message = await session.guard(self._next(session))
            except UnavailableError:
                continue
            except FAILURES as error:
                _log.warning("nats_pull_failed", stream=self._stream, why=str(error))
                self._session = None
                await asyncio.sleep(_AFTER_FAILURE_S)
                continue
            if message is not None:
                return message

    async def close(self) -> None:
        """End the requests; messages on their way are delivered again to another taker."""
        if self._inbox is not None:
            with suppress(*FAILURES):
                await self._inbox.unsubscribe()

    async def _next(self, session: Session) -> Msg | None:
        inbox = await self._bound(session)
        if not self._asked:
            await session.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}",
                json.dumps({"batch": 1, "expires": int(_EXPIRES.total_seconds() * 1e9)}).encode(),
                reply=inbox.subject,
            )
            self._asked = True
        try:
            message = await inbox.next_msg(timeout=_EXPIRES.total_seconds() + _MARGIN_S)
        except nats.errors.TimeoutError:
            self._session = None  # the server owes an answer: look whether the consumer is there
            return None
        self._asked = False
        if message.headers and "Status" in message.headers and not message.data:
            await self._on_status(message)
            return None
        return message

    async def _bound(self, session: Session) -> Inbox:
        if self._session is session and self._inbox is not None:
            return self._inbox
        await self.close()
        self._consumer = await self._ensure(session)
        self._inbox = await session.client.subscribe(session.client.new_inbox())
        self._session, self._asked = session, False
        return self._inbox

    async def _on_status(self, message: Msg) -> None:
        """Handle what a server says instead of a message: 408 asks to ask again."""
        status = (message.headers or {}).get("Status")
        if status not in ("404", "408"):
            self._session = None
            await asyncio.sleep(_AFTER_FAILURE_S if status != "100" else 0)
