"""What can be chosen about NATS."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsSettings:
    """Where NATS is and how much it keeps.

    `servers` are URLs (`nats://host:4222`, `tls://…`, with a user and password
    if need be); `credentials_file` is a NATS credentials file, or empty.
    `prefix` begins every subject (default distconv), and in capitals every
    stream: two farms on one NATS use two. Streams end with the first limit that
    is reached: `max_age`, `max_bytes`. `stream_replicas` is 1, or 3 or 5 on a
    cluster of so many servers.
    """

    servers: tuple[str, ...]
    name: str = "distconv"
    credentials_file: str = ""
    prefix: str = "distconv"
    max_age: timedelta = timedelta(days=7)
    max_bytes: int = 1 << 30
    dead_max_age: timedelta = timedelta(days=90)
    dead_max_bytes: int = 256 << 20
    dedupe_window: timedelta = timedelta(minutes=10)
    stream_replicas: int = 1
    connect_timeout: timedelta = timedelta(seconds=2)
    publish_timeout: timedelta = timedelta(seconds=5)
    ping_interval: timedelta = timedelta(seconds=5)
    first_reconnect_delay: timedelta = timedelta(milliseconds=100)
    max_reconnect_delay: timedelta = timedelta(seconds=5)

    @property
    def events_stream(self) -> str:
        """Name the stream of events."""
        return f"{self.prefix.upper()}_EVENTS"

    @property
    def dead_stream(self) -> str:
        """Name the stream of dead letters."""
        return f"{self.prefix.upper()}_DEAD"
