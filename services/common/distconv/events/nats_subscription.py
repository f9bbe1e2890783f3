"""A durable subscription on JetStream.

The server is told to deliver for ever; the limit is kept here, so that what
reaches it is put among the dead letters before the stream is told to forget it.
Left to the server, the last silent delivery would only raise an advisory, which
nobody may be there to hear.
"""

from collections.abc import Mapping
from datetime import timedelta

import nats.js.api as js
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError as NoConsumerError

from distconv.core.errors import InvalidArgumentError
from distconv.events.event import CloudEvent, from_headers
from distconv.events.filter import EventFilter
from distconv.events.nats_dead_letters import REPLAY_FOR, NatsDeadLetters
from distconv.events.nats_link import NatsLink, Session, as_unavailable
from distconv.events.nats_pull import NatsPull
from distconv.events.port import DeliveryPolicy, StartAt

_NANOSECONDS = 1_000_000_000
# The word of a reply subject that counts deliveries, in the form with nine words and the one
# with eleven or more (it names the domain and the account first). NATS ADR-15.
_COUNT_WORD = {9: 4}
_COUNT_WORD_LONG = 6


async def ensure_consumer(
    session: Session, stream: str, name: str, subject: str, policy: DeliveryPolicy
) -> str:
    """Make the durable consumer, or bring it in line with the policy; return its name."""
    config = js.ConsumerConfig(
        durable_name=name,
        ack_policy=js.AckPolicy.EXPLICIT,
        ack_wait=policy.ack_wait.total_seconds(),
        max_deliver=-1,
        max_ack_pending=policy.max_in_flight,
        filter_subject=subject,
        deliver_policy=(
            js.DeliverPolicy.ALL if policy.start_at is StartAt.OLDEST else js.DeliverPolicy.NEW
        ),
    )
    try:
        there = (await session.jetstream.consumer_info(stream, name)).config
    except NoConsumerError:
        await session.jetstream.add_consumer(stream, config)
    else:
        config.deliver_policy = there.deliver_policy  # cannot be changed
        config.opt_start_seq, config.opt_start_time = there.opt_start_seq, there.opt_start_time
        await session.jetstream.add_consumer(stream, config)
    return name


class NatsSubscription:
    """Take events from a durable consumer."""

    def __init__(
        self,
        pull: NatsPull,
        link: NatsLink,
        letters: NatsDeadLetters,
        *,
        name: str,
        want: EventFilter,
        policy: DeliveryPolicy,
    ) -> None:
        self._pull = pull
        self._link = link
        self._letters = letters
        self.name = name
        self._want = want
        self.policy = policy

    async def next(self) -> "NatsDelivery":
        """Wait for the next event."""
        while True:
            message = await self._pull.next()
            headers: Mapping[str, str] = message.headers or {}
            try:
                event = from_headers(headers, message.data)
            except InvalidArgumentError:
                await self.answer(message, b"+TERM")  # not ours: it will never be readable
                continue
            delivery = NatsDelivery(self, message, event)
            replayed_for = headers.get(REPLAY_FOR, self.name)
            if replayed_for != self.name or not self._want.matches(event):
                await delivery.ack()
            elif delivery.delivery_count > self.policy.max_deliveries:
                count = delivery.delivery_count - 1
                await self.bury(delivery, f"not acknowledged in {count} deliveries", count)
            else:
                return delivery

    async def bury(self, delivery: "NatsDelivery", reason: str, count: int) -> None:
        """Add a dead letter, and only then have the stream forget the delivery."""
        await self._letters.bury(
            delivery.event, subscription=self.name, reason=reason, delivery_count=count
        )
        await self.answer(delivery.message, b"+TERM")

    async def answer(self, message: Msg, word: bytes) -> None:
        """Say what is to become of a message: its subject holds on any connection."""
        session = self._link.session()
        with as_unavailable("an event could not be acknowledged"):
            await session.say(message.reply, word)


class NatsDelivery:
    """One event in a subscriber's hands."""

    def __init__(self, subscription: NatsSubscription, message: Msg, event: CloudEvent) -> None:
        self._subscription = subscription
        self.message = message
        self.event = event
        self.delivery_count = _delivery_count(message)

    async def ack(self) -> None:
        """Say that the event is dealt with."""
        await self._subscription.answer(self.message, b"+ACK")

    async def nack(self, delay: timedelta = timedelta(0), *, reason: str = "") -> None:
        """Have the event delivered again after `delay`; after the last delivery, bury it."""
        count = self.delivery_count
        if count >= self._subscription.policy.max_deliveries:
            await self._subscription.bury(self, reason or f"refused {count} times", count)
            return
        word = b"-NAK"
        if delay > timedelta(0):
            word += b' {"delay": %d}' % int(delay.total_seconds() * _NANOSECONDS)
        await self._subscription.answer(self.message, word)

    async def in_progress(self) -> None:
        """Ask for another `ack_wait`."""
        await self._subscription.answer(self.message, b"+WPI")

    async def reject(self, reason: str) -> None:
        """Make the event a dead letter at once."""
        await self._subscription.bury(self, reason, self.delivery_count)


def _delivery_count(message: Msg) -> int:
    words = message.reply.split(".")
    return int(words[_COUNT_WORD.get(len(words), _COUNT_WORD_LONG)])
