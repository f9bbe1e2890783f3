"""Put the parts of dispatch together."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from distconv.core.clock import Clock
from distconv.core.ids import MakeId, new_id
from distconv.core.profiles import ProfileCatalogue
from distconv.core.retry import RetryPolicy
from distconv.dispatch.api.client_api import ClientApi
from distconv.dispatch.api.service import DispatchServicer, dispatch_service
from distconv.dispatch.background import Background
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Effects, Signals, Topic
from distconv.dispatch.changes.watchers import Watchers
from distconv.dispatch.circuit import Circuit
from distconv.dispatch.duties.duty import Duty
from distconv.dispatch.duties.engine_reaper import EngineReaper
from distconv.dispatch.duties.heartbeat_keeper import HeartbeatKeeper
from distconv.dispatch.duties.outbox_relay import OutboxRelay
from distconv.dispatch.duties.progress_sampler import ProgressSampler
from distconv.dispatch.duties.promoter import Promoter
from distconv.dispatch.duties.roster import all_duties
from distconv.dispatch.events.api import EventApi
from distconv.dispatch.events.service import EventServicer, event_service
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.lifecycle.engine_health import EngineHealth
from distconv.dispatch.lifecycle.failing import Failing
from distconv.dispatch.lifecycle.feasibility import check_counts, require_feasible
from distconv.dispatch.lifecycle.leasing import Leasing
from distconv.dispatch.lifecycle.progress_board import ProgressBoard
from distconv.dispatch.lifecycle.verifying import Verifier
from distconv.dispatch.objects.access import MediaMint
from distconv.dispatch.objects.port import Objects
from distconv.dispatch.objects.sources import Sources
from distconv.dispatch.reading.explaining import Explainer
from distconv.dispatch.reading.finding import Finder
from distconv.dispatch.reading.views import Views
from distconv.dispatch.replicas.link import ReplicaLink
from distconv.dispatch.replicas.presence import ReplicaPresence
from distconv.dispatch.scheduling.assigning import Assigning
from distconv.dispatch.scheduling.benchmarks import Benchmarks
from distconv.dispatch.scheduling.scheduler import Scheduler
from distconv.dispatch.sessions.follower import EngineFollower
from distconv.dispatch.sessions.handling import EngineMessages
from distconv.dispatch.sessions.hub import SessionHub, SessionPace
from distconv.dispatch.sessions.results import Results
from distconv.dispatch.sessions.service import EngineServicer, engine_service
from distconv.dispatch.sessions.speed_book import SpeedBook
from distconv.dispatch.sessions.stream import SessionStreams
from distconv.dispatch.settings import DispatchSettings
from distconv.dispatch.steering.collecting import ObjectCollecting
from distconv.dispatch.steering.media_grants import MediaGrants
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import EngineRecord
from distconv.events.memory import MemoryEventBus
from distconv.events.port import Broadcast, EventBus
from distconv.rpc.server import Service
from distconv.rpc.tokens import MediaTokens


class Dispatch:
    """The parts of dispatch, wired; without servers, folders or sockets of its own."""

    def __init__(
        self,
        settings: DispatchSettings,
        *,
        store: Store,
        objects: Objects,
        tokens: MediaTokens,
        catalogue: ProfileCatalogue,
        clock: Clock,
        make_id: MakeId = new_id,
        randomness: Callable[[], float] = random.random,
        bus: EventBus | None = None,
        broadcast: Broadcast | None = None,
        replica_id: str = "",
        presence: ReplicaPresence | None = None,
        housekeeping: Sequence[Duty] = (),
    ) -> None:
        """Wire the parts.

        `bus` carries events, by default within this process; `broadcast` joins
        replicas of one database, of which each has a `replica_id` of its own;
        `presence` knows where the others are.

        All that is left to chance comes from `make_id` and from `randomness`,
        which returns numbers in [0, 1): a simulation gives its own.
        """
        replica_id = replica_id or make_id(clock.now())
        self.circuit = Circuit(clock)
        self._background = Background(clock, grace_s=settings.drain_grace_s)
        spawn = self._background.spawn
        media_ttl = timedelta(seconds=settings.media_ttl_s)
        self.signals = Signals()
        self.watchers = Watchers()
        self.board = ProgressBoard(lambda job: self.watchers.notify(job, urgent=False))
        self.signals.listen(self._on_change)
        self.changes = changes = Changes(
            store,
            self.signals,
            clock,
            media_ttl=media_ttl,
            make_id=make_id,
            randomness=randomness,
            queue_policy=settings.queue,
            require=self.circuit.require,
        )
        health = EngineHealth(policy=settings.health, known=self._engine, signals=self.signals)
        failing = Failing(
            policy=RetryPolicy(
                first_delay=timedelta(seconds=settings.retry_first_delay_s),
                max_delay=timedelta(seconds=settings.retry_max_delay_s),
            ),
            budget=settings.budget,
            health=health,
            signals=self.signals,
            clock=clock,
            randomness=randomness,
        )
        self.leasing = Leasing(
            changes,
            lease_duration=settings.lease_duration,
            failing=failing,
            max_lost_leases=settings.max_lost_leases,
            default_transfer=settings.default_transfer,
        )
        self.concluding = Concluding(
            changes,
            failing=failing,
            health=health,
            require_feasible=require_feasible,
            build_of=self._build_of,
        )
        self.book = SpeedBook(store, changes)
        mint = MediaMint(
            tokens,
            storage_addresses=settings.storage_addresses,
            ttl=media_ttl,
            profile_pools=settings.pools_by_profile,
        )
        self.hub = SessionHub(
            changes=changes,
            leasing=self.leasing,
            signals=self.signals,
            clock=clock,
            pace=SessionPace(
                heartbeat_interval=settings.heartbeat_interval,
                lease_duration=settings.lease_duration,
            ),
            book=self.book,
            spawn=spawn,
            replica_id=replica_id,
            peers=presence.peers if presence is not None else tuple,
        )
        self.scheduler = Scheduler(
            store=store,
            leasing=self.leasing,
            hub=self.hub,
            assigning=Assigning(
                hub=self.hub,
                mint=mint,
                stall_timeout=timedelta(seconds=settings.stall_timeout_s),
            ),
            clock=clock,
            policy=settings.scheduling,
            on_pass=self.watchers.notify_all,
        )
        sources = Sources(objects)
        views = Views(store, self.hub, self.board, clock=clock, held=self.scheduler.hold)
        messages = EngineMessages(
            changes=changes,
            leasing=self.leasing,
            results=Results(
                store=store,
                leasing=self.leasing,
                concluding=self.concluding,
                verifier=Verifier(objects, sources, check_counts),
                board=self.board,
                signals=self.signals,
                spawn=spawn,
            ),
            board=self.board,
            book=self.book,
            signals=self.signals,
            clock=clock,
            heartbeat_interval=settings.heartbeat_interval,
            circuit=self.circuit,
            spawn=spawn,
        )
        self.sessions = SessionStreams(self.hub, messages, spawn)
        self.bus: EventBus = bus if bus is not None else MemoryEventBus(clock)
        sampler = ProgressSampler(
            self.bus,
            clock,
            make_id=make_id,
            interval=timedelta(seconds=settings.progress_event_interval_s),
            wake=lambda: self.signals.wake(Topic.SAMPLES),
        )
        self.board.listen(sampler.note)
        self.signals.listen(sampler.forget)
        sweep_interval = timedelta(seconds=settings.sweep_interval_s)
        self._link = (
            ReplicaLink(
                replica_id=replica_id,
                broadcast=broadcast,
                signals=self.signals,
                board=self.board,
                watchers=self.watchers,
                clock=clock,
                sweep_interval=sweep_interval,
                progress_interval=timedelta(seconds=settings.share_interval_s),
            )
            if broadcast is not None
            else None
        )
        self.api = ClientApi.build(
            settings,
            store=store,
            changes=changes,
            concluding=self.concluding,
            objects=objects,
            sources=sources,
            views=views,
            watchers=self.watchers,
            catalogue=catalogue,
            clock=clock,
        )
        self.engine_follower = EngineFollower(store, self.hub, self.signals, clock, spawn)
        self.events = EventApi(self.bus)
        self.promoter = Promoter(store, changes, clock)
        self.benchmarks = Benchmarks(
            self.hub,
            clock,
            idle=timedelta(seconds=settings.benchmark_idle_s),
            again=timedelta(seconds=settings.benchmark_again_s),
        )
        explainer = Explainer(
            store=store, hub=self.hub, clock=clock, policy=settings.health, held=self.scheduler.hold
        )
        collecting = ObjectCollecting(
            store=store,
            changes=changes,
            objects=objects,
            clock=clock,
            output_retention=settings.output_retention,
        )
        self.services: Sequence[Service] = (
            dispatch_service(
                DispatchServicer(
                    self.api,
                    explainer=explainer,
                    finder=Finder(store),
                    collecting=collecting,
                    grants=MediaGrants(mint, objects, store, changes, clock, make_id=make_id),
                    catalogue=catalogue,
                    storage_addresses=settings.storage_addresses,
                    max_source_bytes=settings.max_source_bytes,
                )
            ),
            engine_service(EngineServicer(self.sessions)),
            event_service(EventServicer(self.events)),
        )
        self._relay = OutboxRelay(
            store,
            changes,
            self.bus,
            clock,
            randomness=randomness,
            sweep_interval=sweep_interval if broadcast is not None else None,
        )
        self.reaper = EngineReaper(
            store,
            changes,
            clock,
            self.circuit,
            silence=settings.engine_silence,
            replica_id=replica_id,
        )
        self.keeper = HeartbeatKeeper(store, self.hub, clock, interval=settings.presence_interval)
        self._duties = all_duties(
            settings,
            store=store,
            changes=changes,
            objects=objects,
            clock=clock,
            signals=self.signals,
            circuit=self.circuit,
            hub=self.hub,
            leasing=self.leasing,
            concluding=self.concluding,
            collecting=collecting,
            woken=(
                (self.scheduler, Topic.WORK),
                (self.promoter, Topic.PROMOTIONS),
                (self.benchmarks, Topic.IDLENESS),
                (self._relay, Topic.OUTBOX),
                (sampler, Topic.SAMPLES),
            ),
            timed=(
                self.reaper,
                self.keeper,
                *([presence] if presence is not None else []),
                *([self.engine_follower] if broadcast is not None else []),
                *housekeeping,
            ),
        )

    def _engine(self, engine_id: str) -> EngineRecord | None:
        session = self.hub.get(engine_id)
        return None if session is None else session.engine

    def _build_of(self, engine_id: str) -> str:
        engine = self._engine(engine_id)
        return "" if engine is None else engine.capabilities.build_id

    def _on_change(self, effects: Effects) -> None:
        for job_id in sorted(effects.ended_jobs):
            self.board.clear(job_id)
        for attempt in effects.ended_attempts:
            self.board.clear(attempt.job_id)
        for job_id in sorted(effects.changed_jobs):
            self.watchers.notify(job_id, urgent=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Schedule, rescue and collect while the block lasts.

        What is under way at its end has the drain's grace, and is cut off then.
        """
        await self.reaper.release_own()
        link = {} if self._link is None else {"replica_link": self._link.run()}
        async with self._background.running(self._duties, link):
            yield

    async def flush(self) -> None:
        """Publish what waits in the outbox, as far as the database and the bus are there."""
        await self._relay.run()

    def drain(self) -> None:
        """Take no new work: tell the engines, end the sessions and the watchers."""
        self.hub.drain()
        self.watchers.close()
        self.events.close()
