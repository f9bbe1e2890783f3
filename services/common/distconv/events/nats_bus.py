"""The event bus on NATS JetStream."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import nats.js.api as js
from nats.js.errors import NotFoundError as NoStreamError

from distconv.core.clock import Clock
from distconv.core.errors import InvalidArgumentError
from distconv.events.event import CloudEvent, from_headers, to_headers
from distconv.events.filter import EVERYTHING, EventFilter
from distconv.events.names import check_subscription_name
from distconv.events.nats_dead_letters import REPLAY_FOR, NatsDeadLetters
from distconv.events.nats_link import NatsLink, Session, as_unavailable
from distconv.events.nats_publishing import Outgoing, publish_all
from distconv.events.nats_pull import NatsPull
from distconv.events.nats_settings import NatsSettings
from distconv.events.nats_subjects import all_dead, all_events, event_subject, filter_subject
from distconv.events.nats_subscription import NatsSubscription, ensure_consumer
from distconv.events.port import DeliveryPolicy

# A follower's consumer goes by itself when nobody has asked it for so long, s.
_FORGET_FOLLOWER_S = 60.0


class NatsEventBus:
    """Events in one JetStream stream, dead letters in another; both are made when missing."""

    def __init__(self, link: NatsLink, settings: NatsSettings, clock: Clock) -> None:
        self._link = link
        self._settings = settings
        self._dead_letters = NatsDeadLetters(link, settings, clock)
        link.prepare(self._ensure_streams)

    @property
    def dead_letters(self) -> NatsDeadLetters:
        """Return the dead letters."""
        return self._dead_letters

    async def publish(self, events: Sequence[CloudEvent]) -> None:
        """Store events in this order."""
        messages = [
            Outgoing(
                subject=event_subject(self._settings.prefix, event),
                headers=to_headers(event),
                data=event.data,
                dedupe_id=f"{event.source}/{event.id}",
            )
            for event in events
        ]
        await publish_all(
            self._link,
            messages,
            stream=self._settings.events_stream,
            within=self._settings.publish_timeout,
        )

    @asynccontextmanager
    async def subscribe(
        self, name: str, want: EventFilter = EVERYTHING, *, policy: DeliveryPolicy | None = None
    ) -> AsyncIterator[NatsSubscription]:
        """Take part in the durable subscription `name` while the block lasts."""
        check_subscription_name(name)
        chosen = policy or DeliveryPolicy()
        stream = self._settings.events_stream
        subject = filter_subject(self._settings.prefix, want)

        async def ensure(session: Session) -> str:
            return await ensure_consumer(session, stream, name, subject, chosen)

        with as_unavailable(f"the subscription {name} could not be made"):
            session = self._link.session()
            await session.guard(ensure(session))
        pull = NatsPull(self._link, stream=stream, ensure=ensure)
        try:
            yield NatsSubscription(
                pull, self._link, self._dead_letters, name=name, want=want, policy=chosen
            )
        finally:
            await pull.close()

    @asynccontextmanager
    async def follow(
        self, want: EventFilter = EVERYTHING
    ) -> AsyncIterator[AsyncIterator[CloudEvent]]:
        """Yield the events published from now on."""
        stream = self._settings.events_stream
        with as_unavailable("the events could not be followed"):
            session = self._link.session()
            info = await session.guard(session.jetstream.stream_info(stream))
        place = _Place(info.state.last_seq + 1)

        async def ensure(session: Session) -> str:
            config = js.ConsumerConfig(
                ack_policy=js.AckPolicy.NONE,
                deliver_policy=js.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=place.number,
                filter_subject=filter_subject(self._settings.prefix, want),
                inactive_threshold=_FORGET_FOLLOWER_S,
            )
            return (await session.jetstream.add_consumer(stream, config)).name

        pull = NatsPull(self._link, stream=stream, ensure=ensure)
        try:
            yield _follow(pull, want, place)
        finally:
            await pull.close()

    async def check(self) -> None:
        """Return when the stream of events answers."""
        session = self._link.session()
        with as_unavailable("NATS does not answer"):
            await session.guard(session.jetstream.stream_info(self._settings.events_stream))

    async def _ensure_streams(self, session: Session) -> None:
        """Make the streams, or bring them in line with the settings."""
        settings = self._settings
        common = js.StreamConfig(
            storage=js.StorageType.FILE,
            num_replicas=settings.stream_replicas,
            duplicate_window=settings.dedupe_window.total_seconds(),
        )
        for config in (
            replace(
                common,
                name=settings.events_stream,
                subjects=[all_events(settings.prefix)],
                max_age=settings.max_age.total_seconds(),
                max_bytes=settings.max_bytes,
            ),
            replace(
                common,
                name=settings.dead_stream,
                subjects=[all_dead(settings.prefix)],
                max_age=settings.dead_max_age.total_seconds(),
                max_bytes=settings.dead_max_bytes,
            ),
        ):
            try:
                await session.jetstream.update_stream(config)
            except NoStreamError:
                await session.jetstream.add_stream(config)


@dataclass(slots=True)
class _Place:
    """How far a follower has come: the number of the next message in the stream."""

    number: int


async def _follow(pull: NatsPull, want: EventFilter, place: _Place) -> AsyncIterator[CloudEvent]:
    while True:
        message = await pull.next()
        number = message.metadata.sequence.stream
        if number < place.number:
            continue  # a consumer made anew may begin earlier
        place.number = number + 1
        try:
            event = from_headers(message.headers or {}, message.data)
        except InvalidArgumentError:
            continue  # not one of ours
        if want.matches(event) and REPLAY_FOR not in (message.headers or {}):
            yield event
