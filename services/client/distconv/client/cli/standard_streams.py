"""The standard streams, whatever they were left as: closed, full, or on a device that is gone."""

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from distconv.core.errors import DiskFullError, DistconvError, InvalidArgumentError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ESCAPED = "distconv-escaped"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def usable_streams() -> Iterator[None]:
    """Have all three standard streams while the block lasts.

    One that is closed is the null device then. What standard error does not take is lost
    and costs nothing; what standard output does not take raises DiskFullError, or
    InvalidArgumentError, once. That their reader has gone is told as ever, by BrokenPipeError.
    """
    _open_closed()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _over(sys.stdout, _Output), _over(sys.stderr, _Messages)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, DistconvError):
                stream.flush()
        sys.stdout, sys.stderr = before


def _open_closed() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        # Under its own number where that is free: a child would take the next file opened for it.
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor != number and not _is_open(number):
            os.dup2(descriptor, number)
            os.close(descriptor)
            descriptor = number
        if descriptor == number:
            os.set_inheritable(number, True)  # noqa: FBT003  # takes no keyword
        setattr(sys, name, os.fdopen(descriptor, "w" if number else "r", encoding="utf-8"))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


class _Messages(io.FileIO):
    """Takes all bytes, and loses those that cannot be written."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write to the descriptor. Raises BrokenPipeError when the reader has gone."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError:
            return memoryview(data).nbytes


class _Output(io.FileIO):
    """Says once that bytes could not be written, and loses all that come after."""

    _lost = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write to the descriptor.

        Raises BrokenPipeError when the reader has gone, else DiskFullError or
        InvalidArgumentError.
        """
        if self._lost:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._lost = True
            message = f"what dcctl prints could not be written to stdout: {error.strerror}"
            if error.errno in _FULL:
                raise DiskFullError(message) from error
            raise InvalidArgumentError(message, field="stdout") from error


def _over(stream: TextIO, kind: type[io.FileIO]) -> TextIO:
    """Return a stream to the same descriptor; the same one where it has none of the system's."""
    try:
        stream.flush()
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return stream
    raw = kind(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors if stream.errors not in ("strict", "backslashreplace") else _ESCAPED,
        line_buffering=getattr(stream, "line_buffering", True),
    )


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding does not hold by the escapes of JSON, whose documents stay valid."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end


codecs.register_error(_ESCAPED, _escaped)
