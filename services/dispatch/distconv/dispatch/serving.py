"""Run dispatch as a process: its folder, database, storage, bus and server, and their end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError, InvalidArgumentError
from distconv.core.profiles import load_catalogue
from distconv.dispatch.app import Dispatch
from distconv.dispatch.database_url import resolve
from distconv.dispatch.duties.backup_keeper import BackupKeeper
from distconv.dispatch.duties.duty import Duty
from distconv.dispatch.objects.rpc import StorageObjects
from distconv.dispatch.replicas.clock import ClockKeeper, FleetClock
from distconv.dispatch.replicas.presence import ReplicaPresence
from distconv.dispatch.settings import DispatchSettings
from distconv.dispatch.store.in_time import in_time
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.postgresql import PostgresqlOptions
from distconv.dispatch.store.sql import SqlStore
from distconv.events.memory_broadcast import MemoryBroadcast
from distconv.events.nats_settings import NatsSettings
from distconv.events.port import Broadcast, EventBus
from distconv.process.data_dir import owned
from distconv.process.identity import load_or_make_id
from distconv.rpc.embedding import EmbedContext, Embedded, find_embeddable
from distconv.rpc.server import Server, ServerSettings, start_server
from distconv.rpc.tls import ServerTls, load_ca
from distconv.rpc.tokens import MediaTokens, load_or_make_key

if TYPE_CHECKING:
    from distconv.events.nats import Nats

_log = structlog.get_logger()

# How long a stopping replica tries to publish its events and to take its row away; without that
# it counts as there for some seconds more, and engines that are sent to it go on to the next.
_FAREWELL_S = 2.0
# How long it looks for the others before; an engine that knows no other replica has nowhere to go
# but to those that the drain names.
_LAST_LOOK_S = 1.0


@asynccontextmanager
async def serving(
    settings: DispatchSettings, clock: Clock, *, config_file: Path | None = None
) -> AsyncIterator[str]:
    """Serve while the block lasts; yield the address. Raises DistconvError."""
    async with AsyncExitStack() as stack:
        stack.enter_context(owned(settings.data_dir, "dispatch"))
        key = _media_key(settings)
        fleet_clock = FleetClock(clock)
        # What is deleted once no token for it is valid any more must go by the tokens' time.
        tokens = MediaTokens(key, fleet_clock)
        catalogue = load_catalogue(settings.data_dir / "profiles")
        store = await _open_store(settings)
        stack.push_async_callback(store.close)
        clock_keeper = ClockKeeper(store, clock, fleet_clock)
        await clock_keeper.run()
        replica_id = load_or_make_id(settings.data_dir, "replica", clock)
        presence = ReplicaPresence(
            store,
            fleet_clock,
            replica_id=replica_id,
            media_key=key,
            storage_addresses=settings.storage_addresses,
            interval=settings.presence_interval,
        )
        await presence.check(settings.advertise or settings.bind)
        links = await stack.enter_async_context(_linked(settings, clock))
        embedded = _embedded(settings, clock, tokens, config_file)
        own_address: list[str] = []
        objects = StorageObjects(
            lambda: settings.storage_addresses or own_address,
            tokens,
            tls_ca=load_ca(settings.tls_ca),
        )
        stack.push_async_callback(objects.close)
        dispatch = Dispatch(
            settings,
            store=store,
            objects=objects,
            tokens=tokens,
            catalogue=catalogue,
            clock=fleet_clock,
            bus=links.bus,
            broadcast=links.broadcast,
            presence=presence,
            replica_id=replica_id,
            housekeeping=(clock_keeper, *_housekeeping(settings, clock)),
        )
        if embedded is not None:
            stack.push_async_callback(embedded.stop)
            await embedded.start()
        await stack.enter_async_context(dispatch.running())
        server = await start_server(
            ServerSettings(
                bind=settings.bind,
                reflection=settings.reflection,
                drain_grace=timedelta(seconds=settings.drain_grace_s),
                tls=ServerTls.load(settings.tls_cert, settings.tls_key),
            ),
            (*dispatch.services, *(embedded.services if embedded is not None else ())),
        )
        own_address.append(server.address)
        stack.push_async_callback(_stop, dispatch, server, presence)
        await presence.enter(settings.advertise or server.address)
        _log.info(
            "dispatch_started",
            address=server.address,
            replica=replica_id,
            database="postgresql" if settings.database_url else "sqlite",
            data_dir=str(settings.data_dir),
        )
        yield server.address
        _log.info("dispatch_stopping", address=server.address)


def _housekeeping(settings: DispatchSettings, clock: Clock) -> Sequence[Duty]:
    if settings.database_url or not settings.backup_interval_s:
        return ()
    interval = timedelta(seconds=settings.backup_interval_s)
    return (BackupKeeper(settings.database, clock, interval=interval, keep=settings.backup_count),)


async def _stop(dispatch: Dispatch, server: Server, presence: ReplicaPresence) -> None:
    await _look_once_more(presence)
    dispatch.drain()
    await server.stop()
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await dispatch.flush()
            await presence.leave()
    except (DistconvError, TimeoutError) as error:
        # Another replica publishes what is left, or this one once it is started again.
        _log.warning("farewell_cut_short", why=str(error) or "the database does not answer")


async def _look_once_more(presence: ReplicaPresence) -> None:
    """See a replica that began since the last look, which may be a whole interval ago."""
    try:
        await in_time(presence.look(), _LAST_LOOK_S)
    except (DistconvError, TimeoutError) as error:
        why = str(error) or "the database does not answer"
        _log.warning("others_not_looked_for", known=list(presence.peers()), why=why)


def _media_key(settings: DispatchSettings) -> bytes:
    try:
        return load_or_make_key(settings.key_file)
    except OSError as error:
        raise InvalidArgumentError(
            f"the media key {settings.key_file} cannot be used: {error.strerror}; "
            "make it readable, or correct media_key_file",
            field="media_key_file",
        ) from error


async def _open_store(settings: DispatchSettings) -> Store:
    if not settings.database_url:
        return await SqlStore.open_sqlite(settings.database, new=settings.new_database)
    return await SqlStore.open_postgresql(
        resolve(settings.database_url, settings.database_password_file),
        PostgresqlOptions(
            pool_size=settings.database_pool_size,
            connect_timeout_s=settings.database_timeout_s,
            checkout_timeout_s=settings.database_timeout_s,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Links:
    """What carries events and hints; None: within this process."""

    bus: EventBus | None = None
    broadcast: Broadcast | None = None


@asynccontextmanager
async def _linked(settings: DispatchSettings, clock: Clock) -> AsyncIterator[_Links]:
    if settings.nats_url:
        open_nats = _nats_adapter()
        credentials = settings.nats_credentials_file
        nats_settings = NatsSettings(
            servers=settings.nats_url,
            credentials_file=str(credentials) if credentials is not None else "",
            prefix=settings.nats_prefix,
            stream_replicas=settings.nats_stream_replicas,
        )
        async with open_nats(nats_settings, clock) as nats:
            yield _Links(bus=nats.bus, broadcast=nats.broadcast)
    elif settings.database_url:
        # Other replicas may be there without a way to them: the sweep finds what they did.
        yield _Links(broadcast=MemoryBroadcast())
    else:
        yield _Links()


def _nats_adapter() -> "Callable[[NatsSettings, Clock], AbstractAsyncContextManager[Nats]]":
    """Import what only a fleet needs. Raises InvalidArgumentError when it is not installed."""
    try:
        from distconv.events.nats import open_nats  # noqa: PLC0415  # an extra of the wheel
    except ModuleNotFoundError as error:
        raise InvalidArgumentError(
            f"nats_url is set, but {error.name} is not installed; "
            "install it with: pip install 'distconv[fleet]'",
            field="nats_url",
        ) from error
    return open_nats


def _embedded(
    settings: DispatchSettings, clock: Clock, tokens: MediaTokens, config_file: Path | None
) -> Embedded | None:
    if settings.storage_addresses:
        return None
    build = find_embeddable("storage")
    return build(
        EmbedContext(
            data_dir=settings.data_dir,
            tokens=tokens,
            clock=clock,
            config_file=config_file,
        )
    )
