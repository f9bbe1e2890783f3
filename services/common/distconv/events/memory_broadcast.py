"""Hints between the replicas of one process: for the embedded dispatch, tests and simulation."""

from collections.abc import Iterator
from contextlib import contextmanager

from distconv.events.inbox import Inbox
from distconv.events.names import topic_matches


class MemoryBroadcast:
    """Carry hints within a process; `away` loses them all."""

    def __init__(self) -> None:
        self._listeners: list[tuple[str, Inbox]] = []
        self.away = False

    def send(self, topic: str, data: bytes) -> None:
        """Tell whoever listens."""
        if self.away:
            return
        for pattern, inbox in self._listeners:
            if topic_matches(pattern, topic):
                inbox.put(topic, data)

    @contextmanager
    def listen(self, topic: str, *, limit: int = 1024) -> Iterator[Inbox]:
        """Hear a topic while the block lasts."""
        inbox = Inbox(limit)
        listener = (topic, inbox)
        self._listeners.append(listener)
        try:
            yield inbox
        finally:
            self._listeners.remove(listener)
