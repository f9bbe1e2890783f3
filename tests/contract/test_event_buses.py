"""One suite for every event bus: what the ports promise, on each adapter."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from distconv.core.clock import SystemClock
from distconv.core.errors import InvalidArgumentError, NotFoundError, UnavailableError
from distconv.events.event import CloudEvent
from distconv.events.filter import EventFilter
from distconv.events.memory import MemoryEventBus
from distconv.events.memory_broadcast import MemoryBroadcast
from distconv.events.nats import Nats, open_nats
from distconv.events.nats_settings import NatsSettings
from distconv.events.port import (
    Broadcast,
    Delivery,
    DeliveryPolicy,
    EventBus,
    EventDeniedError,
    EventRefusedError,
    StartAt,
    Subscription,
)
from servers import NatsServer, nats_server

NOW = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
PATIENCE_S = 20.0
SHORT = timedelta(milliseconds=150)

_numbers = itertools.count(1)


def event(k: int = 0, *, name: str = "JobCreated", tenant: str = "local", subject: str = ""):
    return CloudEvent(
        id=f"e{k}",
        source="/distconv/dispatch",
        type=f"distconv.v1.{name}",
        subject=subject or f"jobs/j{k}",
        time=NOW + timedelta(seconds=k),
        tenant=tenant,
        sequence=k,
        data=b"\x00\xff%d" % k,
    )


async def take(subscription: Subscription) -> Delivery:
    async with asyncio.timeout(PATIENCE_S):
        return await subscription.next()


async def take_ids(subscription: Subscription, count: int) -> list[str]:
    ids = []
    for _ in range(count):
        delivery = await take(subscription)
        ids.append(delivery.event.id)
        await delivery.ack()
    return ids


async def connected(server: NatsServer, stack: AsyncExitStack, **settings: object) -> Nats:
    """Open streams of its own on a server that tests share."""
    chosen = NatsSettings(
        servers=(server.url,),
        prefix=f"test{next(_numbers)}",
        # Reserved on the disk, for every stream of every test.
        max_bytes=16 << 20,
        dead_max_bytes=16 << 20,
    )
    chosen = replace(chosen, **settings)  # type: ignore[arg-type]
    nats = await stack.enter_async_context(open_nats(chosen, SystemClock()))
    async with asyncio.timeout(PATIENCE_S):
        await nats.link.wait()
    return nats


@pytest.fixture(params=["memory", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[EventBus]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            memory = MemoryEventBus(SystemClock())
            stack.push_async_callback(memory.close)
            yield memory
        else:
            yield (await connected(request.getfixturevalue("nats"), stack)).bus


@pytest.fixture(params=["memory", "nats"])
async def replicas(request: pytest.FixtureRequest) -> AsyncIterator[Sequence[Broadcast]]:
    """Two replicas' ends of one broadcast."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            memory = MemoryBroadcast()
            yield memory, memory
        else:
            server = request.getfixturevalue("nats")
            prefix = f"test{next(_numbers)}"
            yield [(await connected(server, stack, prefix=prefix)).broadcast for _ in range(2)]


async def test_events_arrive_whole_and_in_order(bus: EventBus):
    sent = [event(k) for k in range(20)]
    await bus.publish(sent[:15])
    async with bus.subscribe("all") as subscription:
        await bus.publish(sent[15:])
        got = []
        for _ in sent:
            delivery = await take(subscription)
            assert delivery.delivery_count == 1
            got.append(delivery.event)
            await delivery.ack()
    assert got == sent


async def test_odd_characters_survive(bus: EventBus):
    odd = replace(event(1, tenant="träge.> *"), id='a"b%c', subject="jobs/x.y>*ü")
    await bus.publish([odd])
    async with bus.subscribe("odd", EventFilter(subject=odd.subject)) as subscription:
        assert (await take(subscription)).event == odd


async def test_an_event_published_twice_is_stored_once(bus: EventBus):
    await bus.publish([event(1), event(2)])
    await bus.publish([event(1), event(2), event(3)])
    async with bus.subscribe("all") as subscription:
        assert await take_ids(subscription, 3) == ["e1", "e2", "e3"]


async def test_what_was_acknowledged_does_not_come_again(bus: EventBus):
    await bus.publish([event(1), event(2)])
    async with bus.subscribe("one") as subscription:
        assert await take_ids(subscription, 1) == ["e1"]
    async with bus.subscribe("one") as subscription:
        assert await take_ids(subscription, 1) == ["e2"]


async def test_subscriptions_are_apart_and_takers_share_one(bus: EventBus):
    await bus.publish([event(k) for k in range(4)])
    async with (
        bus.subscribe("one") as one,
        bus.subscribe("two") as two_a,
        bus.subscribe("two") as two_b,
    ):
        assert await take_ids(one, 4) == ["e0", "e1", "e2", "e3"]
        shared = await take_ids(two_a, 2) + await take_ids(two_b, 2)
        assert sorted(shared) == ["e0", "e1", "e2", "e3"]


@pytest.mark.parametrize(
    ("want", "ids"),
    [
        (EventFilter(names=frozenset({"JobFinished"})), ["e1"]),
        (EventFilter(names=frozenset({"JobFinished", "JobCreated"})), ["e0", "e1", "e2"]),
        (EventFilter(tenant="acme"), ["e2"]),
        (EventFilter(collection="engines"), ["e3"]),
        (EventFilter(subject="jobs/j2"), ["e2"]),
        (EventFilter(names=frozenset({"JobCreated"}), tenant="local"), ["e0"]),
    ],
)
async def test_a_filter_lets_through_what_is_wanted(
    bus: EventBus, want: EventFilter, ids: list[str]
):
    last = event(9, name=min(want.names, default="Odd"), tenant=want.tenant or "local")
    last = replace(last, subject=want.subject or f"{want.collection or 'jobs'}/j9")
    await bus.publish(
        [
            event(0),
            event(1, name="JobFinished"),
            event(2, tenant="acme"),
            event(3, name="EngineOnline", subject="engines/x"),
            last,
        ]
    )
    async with bus.subscribe("some", want) as subscription:
        assert await take_ids(subscription, len(ids) + 1) == [*ids, "e9"]


async def test_a_new_subscription_may_begin_now(bus: EventBus):
    await bus.publish([event(1)])
    newest = DeliveryPolicy(start_at=StartAt.NEWEST)
    async with bus.subscribe("late", policy=newest) as subscription:
        await bus.publish([event(2)])
        assert await take_ids(subscription, 1) == ["e2"]


async def test_what_is_refused_comes_again_after_the_delay(bus: EventBus):
    loop = asyncio.get_running_loop()
    await bus.publish([event(1)])
    async with bus.subscribe("all") as subscription:
        await (await take(subscription)).nack()
        second = await take(subscription)
        began = loop.time()
        await second.nack(SHORT)
        third = await take(subscription)
        assert (second.delivery_count, third.delivery_count) == (2, 3)
        assert loop.time() - began >= SHORT.total_seconds() * 0.9
        await third.ack()


async def test_silence_is_a_refusal_and_progress_puts_it_off(bus: EventBus):
    loop = asyncio.get_running_loop()
    wait_s = 0.6
    policy = DeliveryPolicy(ack_wait=timedelta(seconds=wait_s))
    async with bus.subscribe("slow", policy=policy) as subscription:
        for attempt in itertools.count(1):
            await bus.publish([event(attempt)])
            first = await take(subscription)
            told = [loop.time()]
            again = asyncio.ensure_future(take(subscription))
            for _ in range(4):
                await asyncio.wait([again], timeout=wait_s / 3)
                await first.in_progress()
                told.append(loop.time())
            second = await again
            assert (second.event, second.delivery_count) == (first.event, 2)
            await second.ack()
            gaps = [after - before for before, after in itertools.pairwise(told)]
            if max(gaps) < wait_s * 0.8:
                # Nothing held this process up: each word came in time.
                assert loop.time() - told[-1] >= wait_s * 0.7
                break
            assert attempt < 10


async def test_no_more_are_out_than_allowed(bus: EventBus):
    await bus.publish([event(1), event(2), event(3)])
    async with bus.subscribe("few", policy=DeliveryPolicy(max_in_flight=2)) as subscription:
        first, _ = await take(subscription), await take(subscription)
        third = asyncio.ensure_future(take(subscription))
        done, _pending = await asyncio.wait([third], timeout=0.1)
        assert not done
        await first.ack()
        assert (await third).event.id == "e3"


async def test_refused_to_the_limit_is_a_dead_letter(bus: EventBus):
    await bus.publish([event(1)])
    async with bus.subscribe("picky", policy=DeliveryPolicy(max_deliveries=2)) as subscription:
        await (await take(subscription)).nack(reason="first")
        await (await take(subscription)).nack(reason="it has no träck")
        await bus.publish([event(2)])
        assert await take_ids(subscription, 1) == ["e2"]
    (letter,) = await bus.dead_letters.list()
    assert (letter.event, letter.subscription) == (event(1), "picky")
    assert (letter.reason, letter.delivery_count) == ("it has no träck", 2)
    assert await bus.dead_letters.get(letter.id) == letter


async def test_silent_to_the_limit_is_a_dead_letter(bus: EventBus):
    await bus.publish([event(1)])
    policy = DeliveryPolicy(max_deliveries=2, ack_wait=SHORT)
    async with bus.subscribe("mute", policy=policy) as subscription:
        for count in (1, 2):
            assert (await take(subscription)).delivery_count == count
        await bus.publish([event(2)])
        await (await take(subscription)).nack(SHORT * 5)
        assert (await take(subscription)).event.id == "e2"  # e1 was given up meanwhile
    letters = await bus.dead_letters.list()
    assert letters[0].event.id == "e1"
    assert "not acknowledged in 2 deliveries" in letters[0].reason


async def test_rejected_is_a_dead_letter_at_once(bus: EventBus):
    await bus.publish([event(1)])
    async with bus.subscribe("strict") as subscription:
        await (await take(subscription)).reject("not protobuf")
    (letter,) = await bus.dead_letters.list()
    assert (letter.reason, letter.delivery_count) == ("not protobuf", 1)


async def test_dead_letters_are_paged_and_discarded(bus: EventBus):
    for k in range(5):
        await bus.dead_letters.bury(
            event(k), subscription="s", reason=f"r{k}", delivery_count=k + 1
        )
    first = await bus.dead_letters.list(limit=2)
    await bus.dead_letters.discard(first[0].id)
    rest = await bus.dead_letters.list(after=first[1].id)
    assert [letter.event.id for letter in (*first, *rest)] == [f"e{k}" for k in range(5)]
    assert len(await bus.dead_letters.list()) == 4
    for attempt in (bus.dead_letters.get, bus.dead_letters.discard, bus.dead_letters.replay):
        with pytest.raises(NotFoundError):
            await attempt(first[0].id)
    with pytest.raises(NotFoundError):
        await bus.dead_letters.get("no such letter")


async def test_a_replay_reaches_its_subscription_alone(bus: EventBus):
    await bus.publish([event(1)])
    async with bus.subscribe("broken") as broken, bus.subscribe("sound") as sound:
        await (await take(broken)).reject("a bug, mended since")
        assert await take_ids(sound, 1) == ["e1"]
        (letter,) = await bus.dead_letters.list()
        await bus.dead_letters.replay(letter.id)
        replayed = await take(broken)
        assert (replayed.event, replayed.delivery_count) == (event(1), 1)
        await replayed.ack()
        assert not await bus.dead_letters.list()
        await bus.publish([event(2)])
        assert await take_ids(sound, 1) == ["e2"]


async def test_a_follower_sees_what_is_new(bus: EventBus):
    await bus.publish([event(1)])
    async with bus.follow(EventFilter(tenant="local")) as events, asyncio.timeout(PATIENCE_S):
        await bus.publish([event(2, tenant="other"), event(3)])
        assert await anext(events) == event(3)
        await bus.publish([event(4)])
        assert await anext(events) == event(4)


async def test_names_are_checked(bus: EventBus):
    with pytest.raises(InvalidArgumentError, match="64 letters"):
        async with bus.subscribe("a.b"):
            pass


async def test_a_bus_that_answers_is_healthy(bus: EventBus):
    await bus.check()


async def test_hints_reach_everyone(replicas: Sequence[Broadcast]):
    one, two = replicas
    with one.listen("jobs.*") as at_one, two.listen("jobs.*") as at_two:
        one.send("engines.x", b"not for us")
        one.send("jobs.a", b"1")
        async with asyncio.timeout(PATIENCE_S):
            for inbox in (at_one, at_two):
                message = await inbox.get()
                assert (message.topic, message.data, message.gap) == ("jobs.a", b"1", False)


async def test_a_slow_listener_keeps_the_newest_hints(replicas: Sequence[Broadcast]):
    one, _ = replicas
    with one.listen("a", limit=2) as slow, one.listen("a") as quick:
        for k in range(5):
            one.send("a", b"%d" % k)
        async with asyncio.timeout(PATIENCE_S):
            assert [(await quick.get()).data for _ in range(5)] == [b"%d" % k for k in range(5)]
            first, second = await slow.get(), await slow.get()
        assert [(m.data, m.gap) for m in (first, second)] == [(b"3", True), (b"4", False)]
        assert slow.dropped_count == 3


async def test_memory_that_is_away_says_so():
    bus = MemoryEventBus(SystemClock())
    bus.away = True
    with pytest.raises(UnavailableError):
        await bus.publish([event(1)])
    with pytest.raises(UnavailableError):
        await bus.check()


async def test_without_nats_everything_fails_fast_and_begins_by_itself(nats: NatsServer):
    loop = asyncio.get_running_loop()
    with nats_server() as server:
        server.kill()
        settings = NatsSettings(servers=(server.url,))
        async with open_nats(settings, SystemClock()) as opened:
            began = loop.time()
            with pytest.raises(UnavailableError, match="is away"):
                await opened.bus.publish([event(1)])
            with pytest.raises(UnavailableError, match="is away"):
                await opened.bus.check()
            with pytest.raises(UnavailableError, match="is away"):
                await opened.bus.dead_letters.list()
            opened.broadcast.send("a", b"lost")
            assert loop.time() - began < 1
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(PATIENCE_S):
                await opened.link.wait()
            await opened.bus.publish([event(1)])


async def test_a_killed_nats_loses_nothing_that_it_acknowledged(nats: NatsServer):
    """Publish without end, kill the server in the middle, take everything: none is missing."""
    count, kills = 400, 3
    policy = DeliveryPolicy(ack_wait=timedelta(seconds=1), max_deliveries=100)
    with nats_server() as server:
        async with AsyncExitStack() as stack:
            opened = await connected(server, stack)
            acked = asyncio.Queue[int]()
            seen: list[str] = []

            async def publish() -> None:
                for k in range(0, count, 10):
                    batch = [event(n) for n in range(k, k + 10)]
                    while True:
                        try:
                            await opened.bus.publish(batch)
                            break
                        except UnavailableError:
                            await opened.link.wait()
                    acked.put_nowait(k)

            async def consume() -> None:
                async with opened.bus.subscribe("all", policy=policy) as subscription:
                    while len(set(seen)) < count:
                        delivery = await take(subscription)
                        seen.append(delivery.event.id)
                        with suppress(UnavailableError):  # it comes again
                            await delivery.ack()

            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                tasks.create_task(consume())
                tasks.create_task(publish())
                for _ in range(kills):
                    for _ in range(8):
                        await acked.get()
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
            assert set(seen) == {f"e{k}" for k in range(count)}
            first_seen = list(dict.fromkeys(seen))
            assert first_seen == sorted(first_seen, key=lambda name: int(name[1:]))


async def test_listeners_learn_of_a_gap_when_nats_was_away(nats: NatsServer):
    with nats_server() as server:
        async with AsyncExitStack() as stack:
            opened = await connected(server, stack)
            with opened.broadcast.listen("a") as inbox:
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
                async with asyncio.timeout(PATIENCE_S):
                    assert (await inbox.get()).gap


async def test_listeners_learn_of_what_another_could_not_send(nats: NatsServer):
    async with AsyncExitStack() as stack:
        prefix = f"test{next(_numbers)}"
        one, two = [await connected(nats, stack, prefix=prefix) for _ in range(2)]
        with two.broadcast.listen("a") as inbox:
            await one.link.session().client.close()
            one.broadcast.send("a", b"lost")
            async with asyncio.timeout(PATIENCE_S):
                message = await inbox.get()
        assert (message.gap, message.data) == (True, b"")


async def test_an_event_that_is_too_large_is_refused_for_itself(nats: NatsServer) -> None:
    async with AsyncExitStack() as stack:
        opened = await connected(nats, stack)
        bus = opened.bus
        huge = replace(event(2), data=bytes(2 << 20))  # beyond the server's max_payload
        with pytest.raises(EventRefusedError) as caught:
            await bus.publish([event(1), huge, event(3)])
        assert caught.value.position == 1
        with pytest.raises(EventRefusedError):
            await bus.dead_letters.bury(huge, subscription="", reason="r", delivery_count=0)
        # What JetStream itself finds too large.
        session = opened.link.session()
        stream = opened.bus._settings.events_stream
        config = (await session.jetstream.stream_info(stream)).config
        await session.jetstream.update_stream(replace(config, max_msg_size=5000))
        with pytest.raises(EventRefusedError) as caught:
            await bus.publish([event(4), event(5), replace(event(6), data=bytes(9000))])
        assert caught.value.position == 2
        await bus.publish([event(7)])


async def test_an_event_that_may_not_be_published_is_refused_for_itself() -> None:
    config = """
        authorization { users = [{
            user: "me", password: "secret",
            permissions: { publish: { deny: ["*.*.*.JobQueued.>", "*.*.JobQueued.>"] } }
        }]}
    """
    with nats_server(config=config) as server:
        async with AsyncExitStack() as stack:
            url = server.url.replace("//", "//me:secret@")
            within = timedelta(seconds=1)
            opened = await connected(server, stack, servers=(url,), publish_timeout=within)
            bus = opened.bus
            for _ in range(2):
                with pytest.raises(EventDeniedError) as caught:
                    await bus.publish([event(1), event(2, name="JobQueued"), event(3)])
                assert caught.value.position == 1
            await bus.publish([event(1), event(3)])
            await bus.dead_letters.bury(
                event(2, name="JobQueued"), subscription="", reason="r", delivery_count=0
            )
