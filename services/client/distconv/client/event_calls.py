"""What the SDK does with events."""

from collections.abc import AsyncGenerator, Sequence

from distconv.client.calls import Calls
from distconv.client.convert.event import to_dead_letter, to_event
from distconv.client.event import DeadLetter, Event
from distconv.core.names import bare
from distconv.rpc.errors import translated
from distconv.v1 import event_service_pb2 as pb


class EventCalls(Calls):
    """Follow events; show, replay and discard dead letters.

    The name of a dead letter is `deadLetters/{number}` or its number.
    """

    async def watch_events(
        self, *, types: Sequence[str] = (), subject: str = ""
    ) -> AsyncGenerator[Event | None, None]:
        """Yield None once the watch has begun, then the events from then on.

        `types` are names such as `JobFinished`, `subject` is `jobs/{id}` or
        `engines/{id}`. Nothing is promised: a break ends it with
        UnavailableError, and what happens until it is begun anew is missed.
        """
        connection = self._connection
        request = pb.WatchEventsRequest(types=types, subject=subject)
        with translated(connection.address):
            # No deadline: it is meant to last, and keepalive finds a dead server.
            call = connection.events.WatchEvents(request, metadata=connection.identity)
            try:
                async for response in call:
                    connection.answered()
                    yield to_event(response.event) if response.HasField("event") else None
            finally:
                call.cancel()

    async def list_dead_letters(self, *, page_size: int = 0) -> AsyncGenerator[DeadLetter, None]:
        """Yield the dead letters, oldest first, fetching pages as needed."""
        connection = self._connection
        token = ""
        while True:
            response = await connection.once(
                connection.events.ListDeadLetters,
                pb.ListDeadLettersRequest(page_size=page_size, page_token=token),
            )
            for letter in response.dead_letters:
                yield to_dead_letter(letter)
            token = response.next_page_token
            if not token:
                return

    async def get_dead_letter(self, name: str) -> DeadLetter:
        """Return a dead letter. Raises NotFoundError."""
        connection = self._connection
        response = await connection.once(
            connection.events.GetDeadLetter, pb.GetDeadLetterRequest(name=_name(name))
        )
        return to_dead_letter(response.dead_letter)

    async def replay_dead_letter(self, name: str) -> None:
        """Deliver a dead letter anew to its subscription. Raises NotFoundError."""
        connection = self._connection
        await connection.once(
            connection.events.ReplayDeadLetter, pb.ReplayDeadLetterRequest(name=_name(name))
        )

    async def discard_dead_letter(self, name: str) -> None:
        """Remove a dead letter for good. Raises NotFoundError."""
        connection = self._connection
        await connection.once(
            connection.events.DiscardDeadLetter, pb.DiscardDeadLetterRequest(name=_name(name))
        )


def _name(name: str) -> str:
    return f"deadLetters/{bare(name, 'deadLetters')}"
