"""Write messages to a stream, many on the way at once, and in their order."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from nats.js import JetStreamContext
from nats.js.api import PubAck

from distconv.core.errors import UnavailableError
from distconv.events.nats_link import NatsLink, as_unavailable


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
    with as_unavailable(f"NATS did not store {len(messages)} messages in {stream}"):
        await session.guard(_publish_all(session.jetstream, messages, stream, within))


async def _publish_all(
    jetstream: JetStreamContext, messages: Sequence[Outgoing], stream: str, within: timedelta
) -> None:
    stalled_s = within.total_seconds()
    acks: list[asyncio.Future[PubAck]] = []
    try:
        for message in messages:
            acks.append(  # noqa: PERF401  # those already on their way are cancelled below
                await jetstream.publish_async(
                    message.subject,
                    message.data,
                    wait_stall=stalled_s,
                    stream=stream,
                    headers={**message.headers, "Nats-Msg-Id": message.dedupe_id},
                )
            )
        if acks:
            await asyncio.wait(acks, timeout=stalled_s)
        for ack in acks:
            if not ack.done():
                raise UnavailableError(
                    f"NATS did not say within {stalled_s:g} s that {stream} holds a message"
                )
            ack.result()
    finally:
        for ack in acks:
            if not ack.cancel() and not ack.cancelled():
                ack.exception()  # looked at: asyncio complains about errors that nobody sees
