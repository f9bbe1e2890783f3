"""Know which sources are whole without asking storage again and again."""

from distconv.dispatch.objects.port import Objects, StoredObject

# Some 150 bytes each. One that was forgotten costs a question to storage.
_MOST_KNOWN = 65_536


class Sources:
    """Remember which objects were committed: they stay so for as long as a job needs them."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._committed: dict[tuple[str, str], None] = {}

    async def stat(self, tenant: str, object_id: str) -> StoredObject | None:
        """Ask storage of an object and remember the answer.

        Raises UnavailableError when storage cannot be asked.
        """
        found = await self._objects.stat(tenant, object_id)
        if found is not None and found.committed:
            self._committed[tenant, object_id] = None
            if len(self._committed) > _MOST_KNOWN:
                del self._committed[next(iter(self._committed))]
        return found

    async def is_committed(self, tenant: str, object_id: str) -> bool:
        """Say whether an object is committed, as far as possible without asking storage.

        Raises UnavailableError when storage cannot be asked.
        """
        if (tenant, object_id) in self._committed:
            return True
        found = await self.stat(tenant, object_id)
        return found is not None and found.committed
