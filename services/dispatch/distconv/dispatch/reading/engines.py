"""What clients see of engines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from distconv.core.engine import EngineState
from distconv.dispatch.reading.filters import (
    ANY_TIME,
    TIME_OPERATORS,
    TimeRange,
    only,
    only_one,
    parse,
    states,
)
from distconv.dispatch.reading.finding import ENGINE_TENANT, Finder
from distconv.dispatch.reading.listing import (
    SortValue,
    make_token,
    page_size,
    parse_order,
    read_token,
)
from distconv.dispatch.reading.views import EngineView, Views
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.queries import EngineQuery
from distconv.dispatch.store.records import EngineRecord

_NAMES = {
    "state": "=",
    "tag": "=",
    "text": ":",
    "create_time": TIME_OPERATORS,
    "connect_time": TIME_OPERATORS,
}
_PAGE = 1000


class EngineOrder(StrEnum):
    """The orders of a list of engines; ids, which sort by time, break every tie."""

    NAME = "name"
    NAME_DESC = "name desc"
    DISPLAY_NAME = "display_name"
    DISPLAY_NAME_DESC = "display_name desc"
    CREATE_TIME = "create_time"
    CREATE_TIME_DESC = "create_time desc"


_KEYS: Mapping[str, Callable[[EngineRecord], SortValue]] = {
    "name": lambda engine: engine.id,
    "display_name": lambda engine: engine.display_name,
    "create_time": lambda engine: engine.create_time,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFilter:
    """Which engines; None and empty are any. `words` are in lower case.

    An engine that is not connected has no time of connecting.
    """

    states: frozenset[EngineState] | None = None
    tags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    created: TimeRange = ANY_TIME
    connected: TimeRange = ANY_TIME

    def takes(self, engine: EngineRecord) -> bool:
        """Tell whether an engine, in the state that it is shown with, is wanted."""
        text = f"{engine.display_name} {engine.id}".lower()
        return (
            (self.states is None or engine.state in self.states)
            and all(tag in engine.capabilities.tags for tag in self.tags)
            and all(word in text for word in self.words)
            and self.created.holds(engine.create_time)
            and self.connected.holds(engine.connect_time)
        )


def engine_filter(text: str) -> EngineFilter:
    """Read a filter of engines. Raises InvalidArgumentError."""
    wanted: frozenset[EngineState] | None = None
    tags: list[str] = []
    words: list[str] = []
    created = connected = ANY_TIME
    for group in parse(text, _NAMES):
        match group[0].name:
            case "state":
                named = states(group, EngineState)
                wanted = named if wanted is None else wanted & named
            case "tag":
                tags.append(only(group, str))
            case "create_time":
                created = created.narrowed(only_one(group))
            case "connect_time":
                connected = connected.narrowed(only_one(group))
            case _:
                words += only(group, str).lower().split()
    return EngineFilter(
        states=wanted,
        tags=tuple(tags),
        words=tuple(words),
        created=created,
        connected=connected,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineList:
    """A list request as it came."""

    page_size: int = 0
    page_token: str = ""
    filter: str = ""
    order_by: str = ""
    with_total_size: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePage:
    """A page of engines; `total_size` only when it was asked for."""

    engines: Sequence[EngineView]
    next_page_token: str
    total_size: int | None


class Engines:
    """Show and list engines, which serve every tenant."""

    def __init__(self, store: Store, finder: Finder, views: Views) -> None:
        self._store = store
        self._finder = finder
        self._views = views

    async def get(self, name: str) -> EngineView:
        """Return an engine by its name, which may be shortened. Raises NotFoundError."""
        return await self._views.engine(await self._finder.engine(name))

    async def list(self, request: EngineList) -> EnginePage:
        """Return a page of engines. Raises InvalidArgumentError."""
        size = page_size(request.page_size)
        order = parse_order(request.order_by, EngineOrder, EngineOrder.NAME_DESC)
        wanted = engine_filter(request.filter)
        listing = ("engines", request.filter, order.value)
        after, value = read_token(request.page_token, listing)
        field, _, direction = order.value.partition(" ")
        key = _KEYS[field]
        # Thousands at the most: what a state is shown as depends on more than its column says.
        engines = sorted(
            [e for e in map(self._views.standing, await self._all()) if wanted.takes(e)],
            key=lambda engine: (key(engine), engine.id),
            reverse=bool(direction),
        )
        page = [e for e in engines if not after or _is_behind(e, key, (value, after), direction)]
        more = len(page) > size
        page = page[:size]
        return EnginePage(
            engines=await self._views.engines(page),
            next_page_token=make_token(listing, page[-1].id, key(page[-1])) if more else "",
            total_size=len(engines) if request.with_total_size else None,
        )

    async def _all(self) -> Sequence[EngineRecord]:
        found: list[EngineRecord] = []
        while True:
            last = found[-1].id if found else ""
            page = await self._store.list_engines(
                EngineQuery(tenant=ENGINE_TENANT, after=last, limit=_PAGE)
            )
            found += page
            if len(page) < _PAGE:
                return found

    async def count_online(self) -> int:
        """Count engines that are connected anywhere."""
        return await self._store.count_online_engines()


def _is_behind(
    engine: EngineRecord,
    key: Callable[[EngineRecord], SortValue],
    place: tuple[SortValue, str],
    direction: str,
) -> bool:
    mine = (key(engine), engine.id)
    return mine < place if direction else mine > place
