"""What a server says of itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """A server: its version, where its storage listens, what it does not serve yet.

    An empty `storage_addresses` means the server's own address.
    """

    version: str
    storage_addresses: tuple[str, ...] = ()
    unimplemented_methods: tuple[str, ...] = ()
    max_source_bytes: int = 0
    online_engine_count: int = 0
