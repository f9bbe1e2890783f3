"""Find what a name means: names may be shortened to any prefix that only one has."""

from distconv.core.errors import NotFoundError
from distconv.core.names import LOCAL_TENANT, parse_prefix
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import EngineRecord, JobRecord
from distconv.rpc.auth import Principal

# Engines serve every tenant; on record they are of one.
ENGINE_TENANT = LOCAL_TENANT


class Finder:
    """Find jobs of the caller's tenant, and engines."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def job(self, who: Principal, name: str) -> JobRecord:
        """Return a job. Raises InvalidArgumentError and NotFoundError."""
        prefix = parse_prefix(name, "jobs")
        found = await self._store.find_jobs(who.tenant, prefix)
        if len(found) == 1:
            return found[0]
        if not found:
            raise NotFoundError(f"there is no job '{name}'; 'dcctl jobs list' shows all")
        raise NotFoundError(f"several jobs begin with {prefix}; write more of the id")

    async def engine(self, name: str) -> EngineRecord:
        """Return an engine. Raises InvalidArgumentError and NotFoundError."""
        prefix = parse_prefix(name, "engines")
        found = await self._store.find_engines(ENGINE_TENANT, prefix)
        if len(found) == 1:
            return found[0]
        if not found:
            raise NotFoundError(f"there is no engine '{name}'; 'dcctl engines list' shows all")
        raise NotFoundError(f"several engines begin with {prefix}; write more of the id")
