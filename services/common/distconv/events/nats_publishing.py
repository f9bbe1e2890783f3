"""Write messages to a stream, many on the way at once, and in their order."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from nats.aio.client import Client
from nats.aio.msg import Msg

from distconv.core.errors import UnavailableError
from distconv.events.nats_link import FAILURES, NatsLink, as_unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message for a stream; one with the `dedupe_id` of another is stored once."""

    subject: str
    headers: dict[str, str]
    data: bytes
    dedupe_id: str


async def publish_all(
    link: NatsLink, messages: Sequence[Outgoing], *, stream: str, within: timedelta
) -> None:
    """Return once the stream holds every message; raises UnavailableError."""
    session = link.session()
    if not messages:
        return
    with as_unavailable(f"NATS did not store {len(messages)} messages in {stream}"):
        await session.guard(_publish_all(session.client, messages, stream, within))


async def _publish_all(
    client: Client, messages: Sequence[Outgoing], stream: str, within: timedelta
) -> None:
    """Write all without letting go of the loop, so that they leave in few packets, then wait.

    The client library's own publish_async lets go of it at each message: one
    packet each, which is several times slower.
    """
    acks = _Acks(len(messages))
    inbox = client.new_inbox()
    subscription = await client.subscribe(f"{inbox}.*", cb=acks.take)
    try:
        for number, message in enumerate(messages):
            await client.publish(
                message.subject,
                message.data,
                reply=f"{inbox}.{number}",
                headers={
                    **message.headers,
                    "Nats-Msg-Id": message.dedupe_id,
                    "Nats-Expected-Stream": stream,
                },
            )
        try:
            async with asyncio.timeout(within.total_seconds()):
                await acks.all_in()
        except TimeoutError:
            raise UnavailableError(
                f"NATS did not say within {within.total_seconds():g} s that {stream} holds "
                f"{acks.missing_count} of {len(messages)} messages"
            ) from None
    finally:
        with suppress(*FAILURES):  # the connection may be gone, and the subscription with it
            await subscription.unsubscribe()


class _Acks:
    """Collect the answers to a number of messages; each is answered once."""

    def __init__(self, count: int) -> None:
        self.missing_count = count
        self._refusal = ""
        self._done = asyncio.Event()

    async def all_in(self) -> None:
        """Wait for all; raises UnavailableError when one was refused."""
        await self._done.wait()
        if self._refusal:
            raise UnavailableError(f"NATS refused an event: {self._refusal}")

    async def take(self, message: Msg) -> None:
        """Take one answer."""
        if message.headers and "Status" in message.headers:
            self._refusal = "JetStream does not answer (503)"
        elif "error" in (answer := json.loads(message.data)):
            self._refusal = str(answer["error"].get("description", answer["error"]))
        self.missing_count -= 1
        if self.missing_count == 0 or self._refusal:
            self._done.set()
