"""Field masks of the list methods: leave of each message only what was asked for."""

from collections.abc import Iterable
from typing import Any, TypeVar, cast

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from distconv.core.errors import InvalidArgumentError

_M = TypeVar("_M", bound=Message)


def check_mask(mask: FieldMask, kind: type[Message], *, field: str = "read_mask") -> None:
    """Raise InvalidArgumentError when the mask names what such a message has not."""
    # The stubs leave it open whether a descriptor is written in Python or in C.
    if not mask.IsValidForDescriptor(cast("Any", kind.DESCRIPTOR)):
        raise InvalidArgumentError(
            f"{field} names what a {kind.DESCRIPTOR.name} has not: {', '.join(mask.paths)[:200]}",
            field=field,
        )


def wants(mask: FieldMask | None, path: str) -> bool:
    """Tell whether a mask leaves a field of the first level; None and an empty one leave all."""
    if mask is None or not mask.paths:
        return True
    return any(asked.partition(".")[0] == path for asked in mask.paths)


def masked(messages: Iterable[_M], mask: FieldMask | None, kind: type[_M]) -> list[_M]:
    """Return the messages with the fields of the mask alone; None and an empty one leave all."""
    if mask is None or not mask.paths:
        return list(messages)
    kept = []
    for message in messages:
        only = kind()
        mask.MergeMessage(message, only)
        kept.append(only)
    return kept
