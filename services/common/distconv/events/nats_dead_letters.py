"""Dead letters in a JetStream stream of their own."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError as NoMessageError

from distconv.core.clock import Clock
from distconv.core.errors import NotFoundError, UnavailableError
from distconv.events.event import CloudEvent, decode_header, encode_header, from_headers, to_headers
from distconv.events.nats_link import NatsLink, as_unavailable
from distconv.events.nats_publishing import Outgoing, publish_all
from distconv.events.nats_settings import NatsSettings
from distconv.events.nats_subjects import all_dead, dead_subject, event_subject
from distconv.events.port import DeadLetter, EventDeniedError

SUBSCRIPTION = "distconv-subscription"
REASON = "distconv-reason"
DELIVERIES = "distconv-deliveries"
DEAD_TIME = "distconv-dead-time"
REPLAY_FOR = "distconv-replay-for"
"""Names the one subscription that an event on the main stream is meant for."""

_MAX_REASON = 1000


class NatsDeadLetters:
    """Keep what subscriptions gave up on; a letter's id is its number in the stream."""

    def __init__(self, link: NatsLink, settings: NatsSettings, clock: Clock) -> None:
        self._link = link
        self._settings = settings
        self._clock = clock

    async def bury(
        self, event: CloudEvent, *, subscription: str, reason: str, delivery_count: int
    ) -> None:
        """Add a dead letter."""
        message = Outgoing(
            subject=dead_subject(self._settings.prefix, subscription),
            headers={
                **to_headers(event),
                SUBSCRIPTION: subscription,
                REASON: encode_header(reason[:_MAX_REASON]),
                DELIVERIES: str(delivery_count),
                DEAD_TIME: self._clock.now().isoformat(),
            },
            data=event.data,
            dedupe_id=f"{subscription}/{event.source}/{event.id}",
        )
        await self._publish(message, self._settings.dead_stream)

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[DeadLetter]:
        """Return dead letters, oldest first."""
        letters: list[DeadLetter] = []
        number = int(after or "0")
        while len(letters) < limit:
            message = await self._read(number + 1, or_next=True)
            if message is None or message.seq is None:
                break
            letters.append(_letter(message))
            number = message.seq
        return letters

    async def get(self, letter_id: str) -> DeadLetter:
        """Return one."""
        message = await self._read(int(letter_id)) if letter_id.isdecimal() else None
        if message is None:
            raise NotFoundError(f"there is no dead letter {letter_id[:40]}")
        return _letter(message)

    async def replay(self, letter_id: str) -> None:
        """Deliver one anew to its subscription, and only then remove it."""
        letter = await self.get(letter_id)
        headers = to_headers(letter.event)
        if letter.subscription:
            headers[REPLAY_FOR] = letter.subscription
        message = Outgoing(
            subject=event_subject(self._settings.prefix, letter.event),
            headers=headers,
            data=letter.event.data,
            dedupe_id=f"replay/{letter.id}/{letter.time.isoformat()}",
        )
        await self._publish(message, self._settings.events_stream)
        await self.discard(letter_id)

    async def discard(self, letter_id: str) -> None:
        """Remove one for good."""
        await self.get(letter_id)
        session = self._link.session()
        with as_unavailable(f"the dead letter {letter_id} could not be removed"):
            await session.guard(
                session.jetstream.delete_msg(self._settings.dead_stream, int(letter_id))
            )

    async def _publish(self, message: Outgoing, stream: str) -> None:
        try:
            await publish_all(
                self._link, [message], stream=stream, within=self._settings.publish_timeout
            )
        except EventDeniedError as error:
            # Nothing is lost for want of a permission: it can be given.
            raise UnavailableError(error.message) from error

    async def _read(self, number: int, *, or_next: bool = False) -> RawStreamMsg | None:
        session = self._link.session()
        subject = all_dead(self._settings.prefix) if or_next else None
        stream = self._settings.dead_stream
        with as_unavailable(f"the dead letters in {stream} could not be read"):
            try:
                return await session.guard(
                    session.jetstream.get_msg(stream, seq=number, subject=subject, next=or_next)
                )
            except NoMessageError:
                return None


def _letter(message: RawStreamMsg) -> DeadLetter:
    headers: Mapping[str, str] = message.headers or {}
    return DeadLetter(
        id=str(message.seq),
        event=from_headers(headers, message.data or b""),
        subscription=headers.get(SUBSCRIPTION, ""),
        reason=decode_header(headers.get(REASON, "")),
        delivery_count=int(headers.get(DELIVERIES, "0")),
        time=datetime.fromisoformat(headers[DEAD_TIME]),
    )
