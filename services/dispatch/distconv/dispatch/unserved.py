"""The one list of what the contract has and this version does not serve yet."""

from distconv.core.errors import UnimplementedError

UNSERVED_METHODS = ("distconv.v1.EngineService.RegisterEngine",)


def unserved(method: str) -> UnimplementedError:
    """Make the error that a method of the list answers with; `method` is its own name."""
    full = next(name for name in UNSERVED_METHODS if name.endswith(f".{method}"))
    return UnimplementedError(
        f"{method} is not served by this version of distconv; GetServerInfo lists what is not",
        metadata={"method": full},
    )
