"""Where the bytes of an upload may lie."""

from distconv.core.errors import InvalidArgumentError
from distconv.rpc.limits import MAX_CHUNK_BYTES, MAX_SEGMENT_BYTES


class Bounds:
    """Check offsets and lengths; all raise InvalidArgumentError."""

    def __init__(self, name: str, *, declared_bytes: int, largest_bytes: int) -> None:
        """`declared_bytes` is 0 when it is not known how many will come."""
        self._name = name
        self._declared_bytes = declared_bytes
        self._largest_bytes = largest_bytes

    def check_piece(self, offset: int, length: int) -> None:
        """Raise unless a chunk may lie there."""
        if not 1 <= length <= MAX_CHUNK_BYTES:
            raise InvalidArgumentError(
                f"a chunk at byte {offset} of {self._name} has {length} bytes; "
                f"send 1 to {MAX_CHUNK_BYTES}",
                field="chunk.data",
            )
        self._check_within(offset, length, "a chunk", field="chunk.offset")

    def check_segment(self, offset: int, length: int) -> None:
        """Raise unless a segment may lie there."""
        if not 1 <= length <= MAX_SEGMENT_BYTES:
            raise InvalidArgumentError(
                f"a segment at byte {offset} of {self._name} has {length} bytes; "
                f"put 1 to {MAX_SEGMENT_BYTES}",
                field="range.length",
            )
        self._check_within(offset, length, "a segment", field="range.offset")

    def _check_within(self, offset: int, length: int, what: str, *, field: str) -> None:
        declared = self._declared_bytes
        end = declared or self._largest_bytes
        if offset < 0 or offset + length > end:
            bound = f"the declared size of {end}" if declared else f"the largest size of {end}"
            raise InvalidArgumentError(
                f"{what} at byte {offset} with {length} bytes does not lie within {bound} bytes "
                f"of {self._name}; correct its offset, or open an upload of the right size",
                field=field,
            )
