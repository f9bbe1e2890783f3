"""Which events a subscriber wants."""

from dataclasses import dataclass

from distconv.events.event import CloudEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Every condition that is set must hold; none is set by default.

    `names` are last words of types (`JobCreated`), one of which the event has;
    `subject` is a resource name, `collection` the first word of one.
    """

    names: frozenset[str] = frozenset()
    tenant: str = ""
    collection: str = ""
    subject: str = ""

    def matches(self, event: CloudEvent) -> bool:
        """Tell whether an event is wanted."""
        return (
            (not self.names or event.name in self.names)
            and (not self.tenant or event.tenant == self.tenant)
            and (not self.collection or event.subject.partition("/")[0] == self.collection)
            and (not self.subject or event.subject == self.subject)
        )


EVERYTHING = EventFilter()
