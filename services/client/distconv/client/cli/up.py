"""dcctl up: the embedded system in the foreground."""

import asyncio
import json
import sys
from pathlib import Path

import click

from distconv.client.cli.failing import InterruptedBySignalError
from distconv.client.cli.options import DEFAULT_SERVER, Common, common_options
from distconv.client.cli.running import run
from distconv.client.cli.system import System, SystemSpec


@click.command("up", short_help="Run dispatch, storage and engines on this machine.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where jobs and media are kept.  [default: the user's data folder]",
)
@click.option(
    "--bind", metavar="HOST:PORT", default=DEFAULT_SERVER, show_default=True,
    help="Where to listen; port 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--engines", type=click.IntRange(0, 64), default=1, show_default=True,
    help="How many engines to run here.",
)  # fmt: skip
@click.option(
    "--slots", type=click.IntRange(1, 256),
    help="Attempts at once on each engine.  [default: one per 8 processors]",
)  # fmt: skip
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning",
    show_default=True, help="What the services write to stderr.",
)  # fmt: skip
@common_options
def command(
    *, data_dir: Path | None, bind: str, engines: int, slots: int | None, log_level: str
) -> int:
    """Run dispatch, storage and engines on this machine, in the foreground.

    Ctrl-C ends them in order; unfinished jobs go on at the next start in the
    same data folder. An engine that dies is started again. With --json, each
    event is one line of JSON on stdout, `{"event": "ready", "address": …}` among them.
    """
    from distconv.process.settings import default_data_dir  # noqa: PLC0415  # pydantic is slow

    spec = SystemSpec(
        data_dir=(data_dir or default_data_dir()).absolute(),
        bind=bind,
        engines=engines,
        slots=slots,
        own_logs=False,
        log_level=log_level,
    )
    try:
        return run(_live(spec, as_json=Common.current().as_json))
    except InterruptedBySignalError:
        return 0  # it is how `up` is meant to end


async def _live(spec: SystemSpec, *, as_json: bool) -> int:
    def tell(text: str, event: str = "note", **fields: str) -> None:
        line = json.dumps({"event": event, **fields}) if as_json else text
        if line:
            print(line, flush=True)

    async with System(spec, note=lambda text: tell(text, message=text)) as system:
        tell(f"dispatch and storage listen on {system.address}; data in {spec.data_dir}",
             "listening", address=system.address, data_dir=str(spec.data_dir))  # fmt: skip
        failing = asyncio.ensure_future(system.failed())
        ready = asyncio.ensure_future(system.engines_ready())
        try:
            await asyncio.wait({failing, ready}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                tell(_advice(system.address), "ready", address=system.address)
            raise await failing
        except asyncio.CancelledError:
            if not as_json:
                print("ending…", file=sys.stderr, flush=True)
            raise
        finally:
            failing.cancel()
            ready.cancel()


def _advice(address: str) -> str:
    server = "" if address == DEFAULT_SERVER else f" --server {address}"
    return (
        "ready. In another terminal:\n"
        f"  dcctl transcode INPUT -o OUTPUT --profile h264-720p{server}\n"
        f"  dcctl jobs list{server}\n"
        "Ctrl-C ends it."
    )
