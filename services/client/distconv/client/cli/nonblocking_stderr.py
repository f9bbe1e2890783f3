"""Standard error for a reader who may not read: nothing that is said there holds the work up."""

import fcntl
import io
import os
import select
import stat
import struct
import sys
import termios
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# At its end a command waits for a reader who takes nothing for so long, s.
_PATIENCE_S = 2.0
# So many samples wait at most; then the oldest goes.
_SAMPLES = 64


@contextmanager
def never_blocked() -> Iterator[None]:
    """Have no write to standard error wait for its reader while the block lasts.

    That is for pipes and sockets: a terminal and a file are left as they are.
    """
    original = sys.stderr
    descriptor = _unread_descriptor()
    if descriptor is None:
        yield
        return
    stream = NonBlockingStderr(descriptor)
    sys.stderr = stream
    try:
        yield
    finally:
        sys.stderr = original
        with suppress(KeyboardInterrupt):
            stream.finish()


def print_sample(line: str) -> None:
    """Print a line on standard error that may be dropped where the reader is behind."""
    if isinstance(sys.stderr, NonBlockingStderr):
        sys.stderr.sample(line)
    else:
        print(line, file=sys.stderr, flush=True)


class NonBlockingStderr(io.TextIOBase):
    """Takes text at once, and writes it to a descriptor from a thread: lines, and what is flushed.

    A sample, of what goes on for a while, is dropped where the reader is behind:
    an unread pipe is filled to a quarter with them, so that all else, an error and
    the end above all, finds room.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._partial = ""
        self._waiting: deque[tuple[str, bool]] = deque()  # texts, and whether they are samples
        self._writing = False
        self._moved = threading.Condition()
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property here, and read alone
        """Return what the text is written as."""
        return "utf-8"

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Take text; whole lines go on, the rest with its end or with `flush`.

        Raises BrokenPipeError when the reader has gone.
        """
        if not isinstance(text, str):  # click finds out so what kind of stream this is
            raise TypeError("this stream takes text")
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._put(f"{line}\n", sample=False)
        return len(text)

    def flush(self) -> None:
        """Have what is no whole line yet go on, such as a question.

        Raises BrokenPipeError when the reader has gone.
        """
        text, self._partial = self._partial, ""
        if text:
            self._put(text, sample=False)

    def sample(self, line: str) -> None:
        """Take a line that may be dropped. Raises BrokenPipeError when the reader has gone."""
        self._put(f"{line}\n", sample=True)

    def finish(self, *, patience_s: float = _PATIENCE_S) -> None:
        """Wait until all is written; for a reader who takes nothing no longer than `patience_s`."""
        self.flush()
        with self._moved:
            while (self._waiting or self._writing) and self._error is None:
                if not self._moved.wait(patience_s):
                    return

    def _put(self, text: str, *, sample: bool) -> None:
        with self._moved:
            if isinstance(self._error, BrokenPipeError):
                raise BrokenPipeError(*self._error.args)
            if self._error is not None:  # a text that cannot be written is no reason to stop
                return
            self._waiting.append((text, sample))
            samples = [waiting for waiting in self._waiting if waiting[1]]
            if len(samples) > _SAMPLES:
                self._waiting.remove(samples[0])
            if self._thread is None:
                # A daemon: one that is stuck must not keep the process.
                self._thread = threading.Thread(target=self._run, name="stderr", daemon=True)
                self._thread.start()
            self._moved.notify_all()

    def _run(self) -> None:
        while self._error is None:
            with self._moved:
                self._moved.wait_for(lambda: self._waiting)
                text, sample = self._waiting.popleft()
                self._writing = True
            try:
                self._write_text(text.encode(errors="backslashreplace"), sample=sample)
            except OSError as error:
                self._error = error
            finally:
                with self._moved:
                    self._writing = False
                    self._moved.notify_all()

    def _write_text(self, data: bytes, *, sample: bool) -> None:
        if sample and not _has_room(self._descriptor, len(data)):
            return
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # whoever shares the descriptor may have made it so
                select.select([], [self._descriptor], [])
            with self._moved:
                self._moved.notify_all()


def _unread_descriptor() -> int | None:
    """Return standard error's descriptor where a reader may leave it unread."""
    try:
        descriptor = sys.stderr.fileno()
        mode = os.fstat(descriptor).st_mode
    except (AttributeError, OSError, ValueError):  # closed, or none of the system's
        return None
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def _has_room(descriptor: int, count: int) -> bool:
    try:
        capacity = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
    except (AttributeError, OSError):  # a system that does not tell, or no pipe
        return True
    (unread,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
    # A pipe has pages of which each may be half used: a quarter of its bytes leaves half of them.
    return bool(unread == 0 or unread + count <= capacity // 4)
