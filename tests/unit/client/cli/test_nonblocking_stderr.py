import fcntl
import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import click
import pytest

from distconv.client.cli.nonblocking_stderr import NonBlockingStderr


@dataclass
class Pipe:
    reader: IO[bytes]
    writer: IO[bytes]

    def stderr(self, *, capacity: int = 0) -> NonBlockingStderr:
        if capacity:
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, capacity)
        return NonBlockingStderr(self.writer.fileno())

    def read_all(self) -> list[str]:
        """Read what was written until now."""
        self.writer.close()
        return self.reader.read().decode().splitlines()

    def read(self, text: str) -> str:
        """Read as much as a text is long, while more may come."""
        return self.reader.read(len(text.encode())).decode()

    def read_until(self, last: str) -> list[str]:
        """Read lines up to one, while more is being written."""
        lines: list[str] = []
        while not lines or lines[-1] != last:
            lines.append(self.reader.readline().decode().rstrip("\n"))
        return lines


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as reading, os.fdopen(writer, "wb") as writing:
        yield Pipe(reading, writing)


def test_all_that_is_said_arrives_in_order(pipe: Pipe) -> None:
    stream = pipe.stderr()
    print("one", file=stream, flush=True)
    print("two\nthree", file=stream)
    stream.sample("four")
    stream.finish()
    assert pipe.read_all() == ["one", "two", "three", "four"]


def test_a_question_is_seen_before_its_line_ends(pipe: Pipe) -> None:
    stream = pipe.stderr()
    question = "first\nReplace it? [y/N]: "
    stream.write(question)
    stream.flush()
    assert pipe.read(question) == question
    stream.flush()  # nothing is said twice
    print("the end", file=stream)
    stream.write("but for")
    stream.finish()
    assert pipe.read_all() == ["the end", "but for"]


def test_samples_nobody_reads_leave_room_for_the_end(pipe: Pipe) -> None:
    stream = pipe.stderr()
    for number in range(1000):
        stream.sample(f"{number:05}" + "." * 3000)
        if number % 100 == 0:
            print(f"turn {number}", file=stream)
    print("the end", file=stream)
    stream.finish(patience_s=60.0)  # which it does not need
    lines = pipe.read_all()
    assert [line for line in lines if line[0] == "t"] == [
        *(f"turn {number}" for number in range(0, 1000, 100)),
        "the end",
    ]
    samples = [line for line in lines if line[0] != "t"]
    assert 0 < len(samples) < 10
    assert all(len(sample) == 3005 for sample in samples)
    assert lines[-1] == "the end"


def test_nobody_is_waited_for_who_takes_nothing(pipe: Pipe) -> None:
    stream = pipe.stderr(capacity=4096)
    for number in range(100):
        print(f"{number:05}" + "." * 1000, file=stream)
    stream.finish(patience_s=0.05)
    last = f"{99:05}" + "." * 1000
    assert len(pipe.read_until(last)) == 100  # and nothing was lost


def test_a_reader_who_comes_late_has_the_end(pipe: Pipe) -> None:
    stream = pipe.stderr(capacity=4096)
    for number in range(500):
        stream.sample(f"{number:05}" + "." * 3000)
    print("the end", file=stream)
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(pipe.read_until("the end")))
    reading.start()
    stream.finish(patience_s=60.0)
    reading.join(timeout=60.0)
    assert lines[-1] == "the end"
    assert len(lines) < 100


def test_a_reader_who_has_gone_is_an_error(pipe: Pipe) -> None:
    pipe.reader.close()
    stream = pipe.stderr()
    print("one", file=stream)
    stream.finish(patience_s=60.0)
    with pytest.raises(BrokenPipeError):
        print("two", file=stream)
    with pytest.raises(BrokenPipeError):
        stream.sample("three")


def test_click_writes_to_it(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = pipe.stderr()
    monkeypatch.setattr("sys.stderr", stream)
    click.echo("f\u00fcr alle", err=True)
    stream.finish(patience_s=60.0)
    assert pipe.read_all() == ["f\u00fcr alle"]


def test_click_asks_on_it(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", pipe.stderr())
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert click.confirm("Replace it?", err=True)
    question = "Replace it? [y/N]: "
    assert pipe.read(question) == question
