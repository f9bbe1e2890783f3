"""dcctl engines: list and show engines."""

from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime

import click

from distconv.client.cli import text
from distconv.client.cli.connecting import open_client
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.running import run
from distconv.client.cli.tables import print_fields, print_table
from distconv.client.engine import Engine
from distconv.core.engine import EngineState


@click.group("engines")
@common_options
def group() -> None:
    """List and show engines. Ids may be shortened."""


@group.command("list")
@click.option(
    "--state",
    type=click.Choice([state.value for state in EngineState], case_sensitive=False),
    help="Only engines in this state.",
)
@common_options
def list_command(*, state: str | None) -> int:
    """List engines."""
    common = Common.current()
    engines = run(_listed(common, f"state = {state.upper()}" if state else ""))
    if common.as_json:
        print_json({"engines": engines})
        return 0
    now = datetime.now(UTC)
    print_table(
        ("ID", "NAME", "STATE", "BUSY", "CPU", "VERSION", "HEARD"),
        [_row(engine, now) for engine in engines],
        empty="no engines",
    )
    return 0


@group.command("get")
@click.argument("engine", metavar="ENGINE")
@common_options
def get_command(*, engine: str) -> int:
    """Show one engine."""
    common = Common.current()
    found = run(_got(common, engine))
    if common.as_json:
        print_json(found)
        return 0
    print_fields(_fields(found))
    return 0


async def _listed(common: Common, condition: str) -> list[Engine]:
    async with (
        open_client(common) as client,
        aclosing(client.list_engines(filter=condition)) as engines,
    ):
        return [engine async for engine in engines]


async def _got(common: Common, name: str) -> Engine:
    async with open_client(common) as client:
        return await client.get_engine(name)


def _row(engine: Engine, now: datetime) -> tuple[str, ...]:
    heard = text.age(engine.heartbeat_time, now)
    return (
        engine.id,
        engine.display_name,
        engine.state.value,
        f"{engine.busy_slot_count}/{engine.slot_count}",
        text.percent(engine.metrics.cpu_fraction) if engine.metrics is not None else "",
        engine.version,
        f"{heard} ago" if heard else "",
    )


def _fields(engine: Engine) -> Iterator[tuple[str, str]]:
    can = engine.capabilities
    yield "engine", engine.id
    yield "name", engine.display_name
    yield "state", engine.state.value
    yield "version", engine.version
    yield "slots", f"{engine.busy_slot_count} of {engine.slot_count} busy"
    yield "processor", f"{can.cpu_model} ({can.cpu_count})".strip()
    yield "memory", text.size(can.memory_bytes) if can.memory_bytes else ""
    yield "system", " ".join(part for part in (can.platform, can.architecture) if part)
    yield "tags", ", ".join(can.tags)
    for tool in can.transcoders:
        yield "tool", f"{tool.name} {tool.version} ({tool.build_id})"
        yield "encoders", ", ".join(tool.encoders)
    yield from (("attempt", name) for name in engine.attempts)
