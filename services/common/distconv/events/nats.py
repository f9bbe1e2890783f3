"""Everything on one NATS connection."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from distconv.core.clock import Clock
from distconv.events.nats_broadcast import NatsBroadcast
from distconv.events.nats_bus import NatsEventBus
from distconv.events.nats_link import NatsLink
from distconv.events.nats_settings import NatsSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Nats:
    """The two ports on NATS, and the connection below them."""

    bus: NatsEventBus
    broadcast: NatsBroadcast
    link: NatsLink


@asynccontextmanager
async def open_nats(
    settings: NatsSettings, clock: Clock, *, randomness: Callable[[], float] = random.random
) -> AsyncIterator[Nats]:
    """Keep connected while the block lasts. It begins at once, whether NATS is there or not."""
    link = NatsLink(settings, randomness=randomness)
    bus = NatsEventBus(link, settings, clock)
    broadcast = NatsBroadcast(link, settings)
    async with link.running(), broadcast.running():
        yield Nats(bus=bus, broadcast=broadcast, link=link)
