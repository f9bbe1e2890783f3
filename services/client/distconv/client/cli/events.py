"""dcctl events: follow events, deal with dead letters."""

import json
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime

import click

from distconv.client.cli import text
from distconv.client.cli.connecting import open_client
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.lazy import SuggestingGroup
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.running import run
from distconv.client.cli.tables import print_fields, print_table
from distconv.client.event import DeadLetter, Event
from distconv.core.errors import InvalidArgumentError

_REASON_WIDTH = 60


@click.group("events", cls=SuggestingGroup)
@common_options
def group() -> None:
    """Follow events, and deal with those that a subscriber gave up on."""


@group.command("watch")
@click.option("--type", "types", multiple=True, metavar="NAME", help="Only such, as JobFinished.")
@click.option("--job", default="", metavar="JOB", help="Only of this job; its id may be shortened.")
@click.option("--engine", default="", metavar="ENGINE", help="Only of this engine, likewise.")
@common_options
def watch_command(*, types: tuple[str, ...], job: str, engine: str) -> int:
    """Follow events from now on, until Ctrl-C; with --json, one document per line."""
    if job and engine:
        raise InvalidArgumentError("give --job or --engine, not both", field="engine")
    run(_watch(Common.current(), types, job=job, engine=engine))
    return 0


@group.group("dead", cls=SuggestingGroup)
@common_options
def dead_group() -> None:
    """Show, replay and discard events that a subscriber gave up on."""


@dead_group.command("list")
@common_options
def list_command() -> int:
    """List dead letters, oldest first."""
    common = Common.current()
    letters = run(_listed(common))
    if common.as_json:
        print_json({"dead_letters": letters})
        return 0
    now = datetime.now(UTC)
    print_table(
        ("ID", "AGE", "EVENT", "SUBJECT", "SUBSCRIPTION", "TRIES", "REASON"),
        [_row(letter, now) for letter in letters],
        empty="no dead letters",
    )
    return 0


@dead_group.command("show")
@click.argument("letter", metavar="ID")
@common_options
def show_command(*, letter: str) -> int:
    """Show one dead letter with its event."""
    common = Common.current()
    found = run(_got(common, letter))
    if common.as_json:
        print_json(found)
    else:
        print_fields(_fields(found))
    return 0


@dead_group.command("replay")
@click.argument("letters", metavar="ID...", nargs=-1, required=True)
@common_options
def replay_command(*, letters: tuple[str, ...]) -> int:
    """Deliver dead letters anew.

    Each goes to the subscription that gave it up, and to no other.
    """
    run(_each(Common.current(), letters, replay=True))
    return 0


@dead_group.command("discard")
@click.argument("letters", metavar="ID...", nargs=-1, required=True)
@common_options
def discard_command(*, letters: tuple[str, ...]) -> int:
    """Remove dead letters for good."""
    run(_each(Common.current(), letters, replay=False))
    return 0


async def _watch(common: Common, types: tuple[str, ...], *, job: str, engine: str) -> None:
    async with open_client(common) as client:
        subject = ""
        if job:
            subject = (await client.get_job(job)).name
        elif engine:
            subject = (await client.get_engine(engine)).name
        async with aclosing(client.watch_events(types=types, subject=subject)) as events:
            async for event in events:
                if event is None:
                    click.echo("following events; Ctrl-C ends it", err=True)
                elif common.as_json:
                    print_json(event, indent=None)
                else:
                    print(_line(event), flush=True)


async def _listed(common: Common) -> list[DeadLetter]:
    async with open_client(common) as client, aclosing(client.list_dead_letters()) as letters:
        return [letter async for letter in letters]


async def _got(common: Common, letter: str) -> DeadLetter:
    async with open_client(common) as client:
        return await client.get_dead_letter(letter)


async def _each(common: Common, letters: tuple[str, ...], *, replay: bool) -> None:
    async with open_client(common) as client:
        for letter in letters:
            await (client.replay_dead_letter if replay else client.discard_dead_letter)(letter)
            if common.as_json:
                print_json({"dead_letter": letter, "replayed": replay}, indent=None)
            else:
                print(f"{'replayed' if replay else 'discarded'} {letter}")


def _line(event: Event) -> str:
    move = event.data.get("move", {})
    progress = event.data.get("progress", {})
    words = [event.time.astimezone().strftime("%H:%M:%S"), f"{event.type:<18}", event.subject]
    if engine := move.get("engine", "") if not event.subject.startswith("engines/") else "":
        words.append(f"on {engine}")
    if "fraction" in progress:
        words.append(text.percent(progress["fraction"]))
    if cause := move.get("cause", ""):
        words.append(f"({cause})")
    return "  ".join(words)


def _row(letter: DeadLetter, now: datetime) -> tuple[str, ...]:
    return (
        letter.id,
        text.age(letter.time, now),
        letter.event.type,
        letter.event.subject,
        letter.subscription,
        str(letter.delivery_count),
        text.cut(letter.reason, _REASON_WIDTH),
    )


def _fields(letter: DeadLetter) -> Iterator[tuple[str, str]]:
    event = letter.event
    yield "dead letter", letter.id
    yield "subscription", letter.subscription
    yield "reason", letter.reason
    yield "deliveries", str(letter.delivery_count)
    yield "given up", letter.time.isoformat()
    yield "event", event.id
    yield "type", event.type
    yield "subject", event.subject
    yield "tenant", event.tenant
    yield "happened", event.time.isoformat()
    yield "sequence", str(event.sequence)
    yield "data", json.dumps(event.data, ensure_ascii=False)
