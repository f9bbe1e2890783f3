"""Write messages to a stream, many on the way at once, and in their order."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from distconv.core.errors import DistconvError, UnavailableError
from distconv.events.nats_link import FAILURES, NatsLink, Session, as_unavailable
from distconv.events.port import EventDeniedError, EventRefusedError

# JetStream's error codes for a message that is itself at fault: it, or its headers, are too long.
_OF_MESSAGE = frozenset({10054, 10097})
_OF_CLIENT = (nats.errors.MaxPayloadError, nats.errors.BadSubjectError, nats.errors.BadHeaderError)


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
    """Return once the stream holds every message.

    Raises EventRefusedError where one is refused for itself, and UnavailableError.
    """
    session = link.session()
    if not messages:
        return
    with as_unavailable(f"NATS did not store {len(messages)} messages in {stream}"):
        await session.guard(_publish_all(session, messages, stream, within))


async def _publish_all(
    session: Session, messages: Sequence[Outgoing], stream: str, within: timedelta
) -> None:
    """Write all without letting go of the loop, so that they leave in few packets, then wait.

    The client library's own publish_async lets go of it at each message: one
    packet each, which is several times slower.
    """
    client, acks = session.client, _Acks(messages)
    acks.require_allowed(session.denied_subjects)
    inbox = client.new_inbox()
    subscription = await client.subscribe(f"{inbox}.*", cb=acks.take)
    try:
        for number, message in enumerate(messages):
            await _publish(client, message, stream, reply=f"{inbox}.{number}", number=number)
        try:
            async with asyncio.timeout(within.total_seconds()):
                await acks.all_in()
        except TimeoutError:
            acks.require_allowed(session.denied_subjects)
            raise UnavailableError(
                f"NATS did not say within {within.total_seconds():g} s that {stream} holds "
                f"{acks.missing_count} of {len(messages)} messages"
            ) from None
    finally:
        with suppress(*FAILURES):  # the connection may be gone, and the subscription with it
            await subscription.unsubscribe()


async def _publish(
    client: Client, message: Outgoing, stream: str, *, reply: str, number: int
) -> None:
    try:
        await client.publish(
            message.subject,
            message.data,
            reply=reply,
            headers={
                **message.headers,
                "Nats-Msg-Id": message.dedupe_id,
                "Nats-Expected-Stream": stream,
            },
        )
    except _OF_CLIENT as error:
        raise EventRefusedError(f"NATS cannot carry it: {error}", position=number) from error


class _Acks:
    """Collect the answers to messages; each is answered once."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self._missing = {number: message.subject for number, message in enumerate(messages)}
        self._refusal: DistconvError | None = None
        self._done = asyncio.Event()

    @property
    def missing_count(self) -> int:
        """Count the messages that were not answered."""
        return len(self._missing)

    async def all_in(self) -> None:
        """Wait for all; raises EventRefusedError or UnavailableError when one was refused."""
        await self._done.wait()
        if self._refusal is not None:
            raise self._refusal

    def require_allowed(self, denied: Collection[str]) -> None:
        """Raise EventDeniedError when a message is not answered that may not be sent."""
        for number, subject in self._missing.items():
            if subject.lower() in denied:
                raise EventDeniedError(
                    f"NATS does not let this server publish to {subject}", position=number
                )

    async def take(self, message: Msg) -> None:
        """Take one answer."""
        number = int(message.subject.rpartition(".")[2])
        del self._missing[number]
        if message.headers and "Status" in message.headers:
            self._refusal = UnavailableError("JetStream does not answer (503)")
        elif "error" in (answer := json.loads(message.data)):
            self._refusal = _refusal(answer["error"], number)
        if not self._missing or self._refusal is not None:
            self._done.set()


def _refusal(error: Mapping[str, Any], number: int) -> DistconvError:
    why = error.get("description", error)
    if error.get("err_code") in _OF_MESSAGE:
        return EventRefusedError(f"NATS refused it: {why}", position=number)
    return UnavailableError(f"NATS refused an event: {why}")
