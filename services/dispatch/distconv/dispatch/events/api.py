"""What clients may do with events: follow them, and deal with dead letters."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from distconv.core.errors import InvalidArgumentError, UnavailableError
from distconv.core.names import parse_id
from distconv.dispatch.events.wire import EVENT_NAMES
from distconv.events.event import CloudEvent
from distconv.events.filter import EventFilter
from distconv.events.port import DeadLetter, EventBus

_log = structlog.get_logger()

_MAX_TYPES = 32
_MAX_PAGE = 1000
_DEFAULT_PAGE = 100
_COLLECTION = "deadLetters"
_MAX_DIGITS = 19  # an int64


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """A page of dead letters; `next_page_token` is empty after the last."""

    letters: Sequence[DeadLetter]
    next_page_token: str


class EventApi:
    """Answer about the events on the bus."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End every watch."""
        self._closed.set()

    async def watch(
        self, tenant: str, *, types: Sequence[str], subject: str
    ) -> AsyncGenerator[CloudEvent | None, None]:
        """Yield None once nothing is missed any more, then the tenant's events and engines'.

        Raises InvalidArgumentError, and UnavailableError when the server shuts down.
        """
        want = EventFilter(names=_names(types), subject=_subject(subject))
        async with self._bus.follow(want) as events:
            yield None
            closing = asyncio.ensure_future(self._closed.wait())
            try:
                while True:
                    event = await _next(events, closing)
                    if event.tenant == tenant or event.subject.startswith("engines/"):
                        yield event
            finally:
                closing.cancel()

    async def list(self, *, page_size: int, page_token: str) -> LetterPage:
        """Return a page of dead letters. Raises InvalidArgumentError."""
        if not 0 <= page_size <= _MAX_PAGE:
            raise InvalidArgumentError(
                f"page_size is {page_size}; it must be 0..{_MAX_PAGE}", field="page_size"
            )
        if page_token and not _is_number(page_token):
            raise InvalidArgumentError(
                "page_token is not one; send the next_page_token of the page before",
                field="page_token",
            )
        size = page_size or _DEFAULT_PAGE
        letters = await self._bus.dead_letters.list(after=page_token, limit=size + 1)
        page = letters[:size]
        more = len(letters) > size
        return LetterPage(letters=page, next_page_token=page[-1].id if more else "")

    async def get(self, name: str) -> DeadLetter:
        """Return a dead letter. Raises InvalidArgumentError and NotFoundError."""
        return await self._bus.dead_letters.get(_letter_id(name))

    async def replay(self, name: str, *, by: str) -> None:
        """Deliver a dead letter anew. Raises InvalidArgumentError and NotFoundError."""
        await self._bus.dead_letters.replay(_letter_id(name))
        _log.info("dead_letter_replayed", dead_letter=name, by=by)

    async def discard(self, name: str, *, by: str) -> None:
        """Remove a dead letter for good. Raises InvalidArgumentError and NotFoundError."""
        await self._bus.dead_letters.discard(_letter_id(name))
        _log.info("dead_letter_discarded", dead_letter=name, by=by)


async def _next(events: AsyncIterator[CloudEvent], closing: "asyncio.Task[Any]") -> CloudEvent:
    step = asyncio.ensure_future(anext(events))
    try:
        await asyncio.wait((step, closing), return_when=asyncio.FIRST_COMPLETED)
        if step.done():
            return step.result()
        raise UnavailableError("dispatch is shutting down; call again in a moment")
    finally:
        step.cancel()
        await asyncio.wait([step])  # the generator is closed next, and must stand still for it


def _names(types: Sequence[str]) -> frozenset[str]:
    if len(types) > _MAX_TYPES:
        raise InvalidArgumentError(
            f"{len(types)} types are named; name at most {_MAX_TYPES}", field="types"
        )
    names = frozenset(text.rpartition(".")[2] for text in types)
    for name in names:
        if name not in EVENT_NAMES:
            raise InvalidArgumentError(
                f"'{name[:80]}' is not a type of event; there are {', '.join(sorted(EVENT_NAMES))}",
                field="types",
            )
    return names


def _subject(subject: str) -> str:
    if not subject:
        return ""
    collection = subject.partition("/")[0]
    if collection not in ("jobs", "engines"):
        raise InvalidArgumentError(
            f"subject is '{subject[:80]}'; it must be jobs/ID or engines/ID", field="subject"
        )
    return f"{collection}/{parse_id(subject, collection, field='subject')}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS


def _letter_id(name: str) -> str:
    collection, _, number = name.rpartition("/")
    if collection != _COLLECTION or not _is_number(number):
        raise InvalidArgumentError(
            f"name is '{name[:80]}'; it must be {_COLLECTION}/NUMBER", field="name"
        )
    return number
