"""Remember what was seen for a while."""

from collections import OrderedDict
from collections.abc import Hashable
from datetime import timedelta

from distconv.core.clock import Clock


class DedupeWindow:
    """Keep keys for `span` after they were first seen; bounded by `limit` keys."""

    def __init__(self, clock: Clock, *, span: timedelta, limit: int = 100_000) -> None:
        self._clock = clock
        self._span_s = span.total_seconds()
        self._limit = limit
        self._seen: OrderedDict[Hashable, float] = OrderedDict()

    def is_new(self, key: Hashable) -> bool:
        """Tell whether a key is new, and remember it."""
        now = self._clock.monotonic()
        while self._seen and (
            len(self._seen) >= self._limit or next(iter(self._seen.values())) <= now - self._span_s
        ):
            self._seen.popitem(last=False)
        if key in self._seen:
            return False
        self._seen[key] = now
        return True
