"""dcctl engines: list, show and steer engines."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime

import click

from distconv.client.cli import text
from distconv.client.cli.conditions import quoted
from distconv.client.cli.connecting import open_client
from distconv.client.cli.each import confirm, do_each
from distconv.client.cli.engine_names import engine_id
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.lazy import SuggestingGroup
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.running import run
from distconv.client.cli.tables import print_fields, print_table
from distconv.client.client import Client
from distconv.client.engine import Engine
from distconv.core.engine import EngineState

_ENGINES = click.argument("engines", metavar="ENGINE...", nargs=-1, required=True)
# Engines cannot be watched; a person who waits for one to finish does not mind a second.
_LOOK_AGAIN_S = 1.0
_ORDERS = {"newest": "name desc", "id": "name", "name": "display_name"}


@click.group("engines", cls=SuggestingGroup)
@common_options
def group() -> None:
    """List, show and steer engines.

    Each is named by its id, which may be shortened, or by its name if no other
    has that.
    """


@group.command("list")
@click.option(
    "--state",
    type=click.Choice([state.value for state in EngineState], case_sensitive=False),
    help="Only engines in this state.",
)
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only with this tag; repeatable.")
@click.option("--text", "words", metavar="WORDS", help="Only with these in their name or id.")
@click.option(
    "--order", type=click.Choice(list(_ORDERS)), default="newest", show_default=True,
    help="Which come first.",
)  # fmt: skip
@common_options
def list_command(*, state: str | None, tags: tuple[str, ...], words: str | None, order: str) -> int:
    """List engines."""
    conditions = [
        *([f"state = {state.upper()}"] if state else []),
        *(f"tag = {quoted(tag)}" for tag in tags),
        *([f"text : {quoted(words)}"] if words else []),
    ]
    common = Common.current()
    engines = run(_listed(common, " AND ".join(conditions), _ORDERS[order]))
    if common.as_json:
        print_json({"engines": engines})
        return 0
    now = datetime.now(UTC)
    print_table(
        ("ID", "NAME", "STATE", "BUSY", "CPU", "VERSION", "HEARD", "TAGS", "WHY"),
        [_row(engine, now) for engine in engines],
        empty="no engines",
        dispensable=("TAGS", "WHY", "VERSION", "CPU", "HEARD", "NAME"),
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


@group.command("maintenance")
@click.argument("switch", metavar="on|off", type=click.Choice(["on", "off"]))
@_ENGINES
@click.option("--now", is_flag=True, help="With on: what they run goes to other engines at once.")
@common_options
def maintenance_command(*, switch: str, engines: tuple[str, ...], now: bool) -> int:
    """Take engines out of service, or back in.

    Out of service they finish what they have and are given nothing new, also after
    they have connected again. Back in service a quarantine is lifted too.
    """
    if now and switch == "off":
        raise click.UsageError("--now goes with on", click.get_current_context())

    async def switched(client: Client, name: str) -> Engine:
        return await client.set_engine_maintenance(
            await engine_id(client, name), maintenance=switch == "on", release=now
        )

    return do_each(
        engines,
        switched,
        plural="engines",
        done="taken out of service" if switch == "on" else "put back into service",
    )


@group.command("drain")
@_ENGINES
@click.option("--wait", is_flag=True, help="Come back when they have finished what they had.")
@common_options
def drain_command(*, engines: tuple[str, ...], wait: bool) -> int:
    """Have engines finish what they have and take nothing new.

    It holds until 'dcctl engines maintenance off'.
    """

    async def drain(client: Client, name: str) -> Engine:
        engine = await client.set_engine_maintenance(
            await engine_id(client, name), maintenance=True
        )
        while wait and engine.attempts:
            await asyncio.sleep(_LOOK_AGAIN_S)
            engine = await client.get_engine(engine.name)
        return engine

    return do_each(engines, drain, plural="engines", done="drained")


@group.command("revoke")
@_ENGINES
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@common_options
def revoke_command(*, engines: tuple[str, ...], yes: bool) -> int:
    """Never let engines connect again.

    What they run goes to others. It cannot be undone; a machine whose file
    engine-id was deleted joins as a new engine.
    """
    count = len(engines)
    confirm(f"Revoke {count} engine{'' if count == 1 else 's'} for good?", yes=yes)

    async def revoke(client: Client, name: str) -> Engine:
        return await client.revoke_engine(await engine_id(client, name))

    return do_each(engines, revoke, plural="engines", done="revoked")


async def _listed(common: Common, condition: str, order: str) -> list[Engine]:
    async with (
        open_client(common) as client,
        aclosing(client.list_engines(filter=condition, order_by=order)) as engines,
    ):
        return [engine async for engine in engines]


async def _got(common: Common, name: str) -> Engine:
    async with open_client(common) as client:
        return await client.get_engine(await engine_id(client, name))


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
        " ".join(engine.capabilities.tags),
        engine.quarantine_reason or ("in maintenance" if engine.maintenance else ""),
    )


def _fields(engine: Engine) -> Iterator[tuple[str, str]]:
    can = engine.capabilities
    yield "engine", engine.id
    yield "name", engine.display_name
    yield "state", engine.state.value
    yield "service", "taken out by an operator" if engine.maintenance else ""
    if engine.quarantine_expire_time is not None:
        until = engine.quarantine_expire_time.astimezone().isoformat(sep=" ", timespec="seconds")
        yield "quarantine", f"until {until}: {engine.quarantine_reason}"
    yield "strikes", str(engine.strike_count) if engine.strike_count else ""
    yield "replica", engine.replica
    yield "version", engine.version
    yield "slots", f"{engine.busy_slot_count} of {engine.slot_count} busy"
    yield "processor", f"{can.cpu_model} ({can.cpu_count})".strip()
    yield "memory", text.size(can.memory_bytes) if can.memory_bytes else ""
    yield "system", " ".join(part for part in (can.platform, can.architecture) if part)
    yield "tags", ", ".join(can.tags)
    for found in engine.benchmarks:
        yield "benchmark", f"{found.codec} {found.height}p: {found.fps:.0f} fps"
    for tool in can.transcoders:
        yield "tool", f"{tool.name} {tool.version} ({tool.build_id})"
        yield "encoders", ", ".join(tool.encoders)
    yield from (("attempt", name) for name in engine.attempts)
