"""Have idle engines measure what is not known of them yet."""

from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.requirements import VIDEO_ENCODERS
from distconv.core.speeds import HEIGHT_CLASSES
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.sessions.messages import BenchmarkRequest
from distconv.dispatch.sessions.session import EngineSession

_log = structlog.get_logger()

# Each encoder with a codec and height that it is measured for.
_WANTED = tuple(
    (encoder, (codec.value, height))
    for codec, encoder in VIDEO_ENCODERS.items()
    for height in HEIGHT_CLASSES
)


class Benchmarks:
    """Ask each engine that has been idle for a while; another build is measured anew."""

    name = "benchmarks"

    def __init__(self, hub: SessionHub, clock: Clock, *, idle: timedelta, again: timedelta) -> None:
        """Ask after `idle`, and one that did not answer once more after `again`."""
        self._hub = hub
        self._clock = clock
        self._idle = idle
        self._again = again
        # By session: since when it has been idle, and when it was asked.
        self._idle_since: dict[str, datetime] = {}
        self._asked: dict[str, datetime] = {}

    async def run(self) -> datetime | None:
        """Ask who is due; return when the next is."""
        now = self._clock.now()
        open_sessions = {session.session_id: session for session in self._hub.sessions()}
        for known in (self._idle_since, self._asked):
            for session_id in known.keys() - open_sessions.keys():
                del known[session_id]
        due = [self._mind(session, now) for session in open_sessions.values()]
        return min((time for time in due if time is not None), default=None)

    def _mind(self, session: EngineSession, now: datetime) -> datetime | None:
        """Ask an engine if its time has come; return when to look at it again."""
        if session.held or not session.takes_work:
            self._idle_since.pop(session.session_id, None)
            return None  # the end of an attempt is an event
        since = self._idle_since.setdefault(session.session_id, now)
        asked = self._asked.get(session.session_id)
        if asked is not None and session.measured_time is not None:
            return None  # it answered: what is still missing, it cannot do in time
        due = since + self._idle if asked is None else max(since, asked) + self._again
        if asked is not None and due > now:
            return due  # what was asked for is missing still
        missing = missing_benchmarks(session)
        if not missing:
            return None
        if due > now:
            return due
        self._ask(session, missing)
        self._asked[session.session_id] = now
        return now + self._again

    def _ask(self, session: EngineSession, missing: list[tuple[str, int]]) -> None:
        codecs = tuple(dict.fromkeys(codec for codec, _ in missing))
        heights = tuple(sorted({height for _, height in missing}))
        session.worked = True
        session.send(BenchmarkRequest(codecs=codecs, heights=heights))
        _log.info(
            "benchmark_requested",
            engine=session.engine.id,
            build=session.capabilities.build_id,
            codecs=codecs,
            heights=heights,
            why="it is idle, and nothing is known of these with this build",
        )


def missing_benchmarks(session: EngineSession) -> list[tuple[str, int]]:
    """Return the codecs and heights that an engine can do and was not measured for."""
    if not session.capabilities.build_id:
        return []  # it could not be told which build a result is of
    encoders = {name for tool in session.capabilities.transcoders for name in tool.encoders}
    return [
        wanted
        for encoder, wanted in _WANTED
        if encoder in encoders and wanted not in session.measured
    ]
