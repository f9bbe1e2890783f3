"""Where on NATS an event is found: `PREFIX.events.NAME.TENANT.COLLECTION.ID`."""

from distconv.events.event import CloudEvent
from distconv.events.filter import EventFilter
from distconv.events.names import token


def event_subject(prefix: str, event: CloudEvent) -> str:
    """Return the subject of an event."""
    collection, _, resource_id = event.subject.partition("/")
    words = (event.name, event.tenant, collection, resource_id)
    return ".".join((prefix, "events", *(token(word) for word in words)))


def filter_subject(prefix: str, want: EventFilter) -> str:
    """Return the narrowest subject with wildcards that holds every wanted event.

    With more than one name it holds others too, so that the filter must still be asked.
    """
    name = next(iter(want.names)) if len(want.names) == 1 else "*"
    collection, _, resource_id = want.subject.partition("/")
    words = (name, want.tenant or "*", collection or want.collection or "*", resource_id or "*")
    return ".".join((prefix, "events", *(w if w == "*" else token(w) for w in words)))


def all_events(prefix: str) -> str:
    """Return the subject of every event."""
    return f"{prefix}.events.>"


def dead_subject(prefix: str, subscription: str) -> str:
    """Return the subject of the dead letters of a subscription."""
    return f"{prefix}.dead.{token(subscription) if subscription else '_'}"


def all_dead(prefix: str) -> str:
    """Return the subject of every dead letter."""
    return f"{prefix}.dead.>"
