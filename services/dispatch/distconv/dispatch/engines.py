"""What clients see of engines."""

from collections.abc import Sequence
from dataclasses import dataclass

from distconv.core.engine import EngineState
from distconv.core.errors import NotFoundError
from distconv.core.names import parse_prefix
from distconv.dispatch.listing import make_token, page_size, parse_filter, parse_states, read_token
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.queries import EngineQuery
from distconv.dispatch.views import EngineView, Views
from distconv.rpc.auth import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePage:
    """A page of engines."""

    engines: Sequence[EngineView]
    next_page_token: str


class Engines:
    """Show and list engines."""

    def __init__(self, store: Store, views: Views) -> None:
        self._store = store
        self._views = views

    async def get(self, who: Principal, name: str) -> EngineView:
        """Return an engine by its name, which may be shortened. Raises NotFoundError."""
        prefix = parse_prefix(name, "engines")
        found = await self._store.find_engines(who.tenant, prefix)
        if len(found) == 1:
            return await self._views.engine(found[0])
        if not found:
            raise NotFoundError(f"there is no engine '{name}'; 'dcctl engines list' shows all")
        raise NotFoundError(f"several engines begin with {prefix}; write more of the id")

    async def list(self, who: Principal, *, size: int, token: str, filter_text: str) -> EnginePage:
        """Return a page of engines. Raises InvalidArgumentError."""
        limit = page_size(size)
        conditions = parse_filter(filter_text, ("state",))
        listing = (who.tenant, "engines", filter_text)
        found = await self._store.list_engines(
            EngineQuery(
                tenant=who.tenant,
                states=parse_states(conditions.get("state"), EngineState),
                after=read_token(token, *listing),
                limit=limit + 1,
            )
        )
        page, more = found[:limit], len(found) > limit
        return EnginePage(
            engines=[await self._views.engine(engine) for engine in page],
            next_page_token=make_token(page[-1].id, *listing) if more else "",
        )

    async def count_online(self) -> int:
        """Count engines that are connected anywhere."""
        return await self._store.count_online_engines()
