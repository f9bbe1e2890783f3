"""How one process takes another service in without importing it.

dispatch serves storage from its own process by default. It finds the builder
through the entry point group `distconv.embeddable`, so that the wall between
the services stands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from distconv.core.clock import Clock
from distconv.core.errors import NotFoundError
from distconv.rpc.server import Service
from distconv.rpc.tokens import MediaTokens

GROUP = "distconv.embeddable"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedContext:
    """What the host gives: where to keep data, the shared media tokens, the clock.

    `config_file` is the host's TOML file; the service reads its own table of it.
    """

    data_dir: Path
    tokens: MediaTokens
    clock: Clock
    config_file: Path | None = None


class Embedded(Protocol):
    """A service that lives in another's process."""

    @property
    def services(self) -> Sequence[Service]:
        """What to add to the host's server."""
        ...

    async def start(self) -> None:
        """Get ready; called before the host's server starts."""
        ...

    async def stop(self) -> None:
        """End; called after the host's server has stopped."""
        ...


Build = Callable[[EmbedContext], Embedded]


def find_embeddable(name: str) -> Build:
    """Return the builder of the service `name`. Raises NotFoundError when it is not installed."""
    for point in entry_points(group=GROUP, name=name):
        build: Build = point.load()
        return build
    raise NotFoundError(
        f"the service '{name}' is not installed here; install distconv[{name}], or run it apart"
    )
