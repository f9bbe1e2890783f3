"""dcctl jobs batch: create many jobs on sources that are uploaded already."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import IO, Any

import click

from distconv.client.cli.connecting import open_client
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.running import run
from distconv.client.new_job import NewJob
from distconv.core.errors import DistconvError, InvalidArgumentError
from distconv.core.names import bare
from distconv.core.profile import Container
from distconv.core.transfer import TransferMode

# The field of a server's error begins with the index of its request.
_REQUEST = re.compile(r"requests\[(\d+)\]")
_TEXTS = (
    "source",
    "profile",
    "file_name",
    "container",
    "deadline",
    "transfer_mode",
    "request_id",
)
_NUMBERS = ("priority", "ttl_s", "max_retries")
_KEYS = (*_TEXTS, *_NUMBERS, "labels", "engine_tags")


@click.command("batch")
@click.argument("file", type=click.File(encoding="utf-8"), metavar="FILE")
@common_options
def batch(*, file: IO[str]) -> int:
    """Create a job for each line of FILE ('-': of stdin), and print their ids in its order.

    A line is a JSON object with "source" (objects/ID) and "profile", and as
    wanted "file_name", "container", "priority", "deadline" (ISO 8601), "ttl_s",
    "max_retries", "labels", "engine_tags", "transfer_mode" (STREAMING or FILE),
    "request_id". Up to 10,000 lines are created all or none.

    An upload makes the ID: 'dcctl jobs get JOB --json' of any job on that source shows
    it as job.source.object, and in Python Client.upload() returns it.
    """
    common = Common.current()
    numbered = [(number, _job(line, number)) for number, line in _lines(file)]
    jobs = [job for _, job in numbered]
    if not jobs:
        click.echo(f"no jobs: {file.name} has no lines", err=True)
    try:
        names = run(_created(common, jobs))
    except DistconvError as error:
        raise _at_line(error, [number for number, _ in numbered]) from error
    if common.as_json:
        print_json({"jobs": [{"name": name} for name in names]})
    return 0


def _lines(file: IO[str]) -> Iterator[tuple[int, str]]:
    try:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"'{file.name}' is no text in UTF-8; it has to have a JSON object on each line, "
            "see 'dcctl jobs batch --help'",
            field="file",
        ) from error


def _job(line: str, number: int) -> NewJob:
    try:
        raw = json.loads(line)
        return _read(raw)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidArgumentError(
            f"line {number} is not a job: {_why(error)}; see 'dcctl jobs batch --help'",
            field="file",
        ) from error


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, json.JSONDecodeError):  # it has one line, whose number is said
        return f"it is no JSON: {error.msg} at character {error.pos + 1}"
    return str(error)


def _at_line(error: DistconvError, numbers: Sequence[int]) -> DistconvError:
    """Return the server's error with the line that its request came from, if it names one."""
    field = error.metadata.get("field", "")
    found = _REQUEST.match(field)
    if found is None or int(found[1]) >= len(numbers):
        return error
    number = numbers[int(found[1])]
    message = error.message.removeprefix(f"{field}: ").removeprefix("job.")
    return type(error)(
        f"line {number}: {message}", metadata={**error.metadata, "line": str(number)}
    )


def _read(raw: Any) -> NewJob:
    if not isinstance(raw, dict):
        raise TypeError("it is not a JSON object")
    if unknown := sorted(set(raw) - set(_KEYS)):
        raise ValueError(f"'{unknown[0]}' is none of {', '.join(_KEYS)}")
    for key in _TEXTS:
        if key in raw and not isinstance(raw[key], str):
            raise TypeError(f"'{key}' is not a text")
    for key in _NUMBERS:
        if key in raw and (not isinstance(raw[key], int | float) or isinstance(raw[key], bool)):
            raise TypeError(f"'{key}' is not a number")
    labels, tags = raw.get("labels", {}), raw.get("engine_tags", [])
    if not isinstance(labels, dict) or not all(isinstance(v, str) for v in labels.values()):
        raise TypeError("'labels' is not an object of texts")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise TypeError("'engine_tags' is not a list of texts")
    retries = raw.get("max_retries")
    return NewJob(
        source=f"objects/{bare(raw['source'], 'objects')}",
        profile=raw["profile"],
        file_name=raw.get("file_name", ""),
        container=Container(raw["container"]) if "container" in raw else None,
        priority=int(raw.get("priority", 0)),
        deadline=datetime.fromisoformat(raw["deadline"]).astimezone()
        if "deadline" in raw
        else None,
        ttl=timedelta(seconds=raw["ttl_s"]) if "ttl_s" in raw else None,
        max_retries=None if retries is None else int(retries),
        labels=labels,
        engine_tags=tuple(tags),
        transfer_mode=TransferMode(raw["transfer_mode"]) if "transfer_mode" in raw else None,
        request_id=raw.get("request_id", ""),
    )


async def _created(common: Common, jobs: list[NewJob]) -> list[str]:
    names: list[str] = []
    async with (
        open_client(common) as client,
        aclosing(client.create_jobs(jobs)) as created,
    ):
        async for name in created:
            names.append(name)
            if not common.as_json:
                print(bare(name, "jobs"))
    return names
