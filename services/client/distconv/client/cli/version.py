"""dcctl version: which version this is, and the server's."""

import click

from distconv.client.cli.connecting import open_client
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.running import run
from distconv.client.server import ServerInfo
from distconv.core.errors import DistconvError
from distconv.core.version import __version__


@click.command("version", short_help="Say which version this is, and the server's.")
@common_options
def command() -> int:
    """Say which version this is, and the server's when one answers."""
    common = Common.current()
    server: ServerInfo | None = None
    try:
        server = run(_asked(common))
    except DistconvError:
        if common.named_server is not None:
            raise
    if common.as_json:
        print_json({"client": __version__, "server": server, "address": common.address})
        return 0
    print(f"dcctl   {__version__}")
    if server is None:
        print(f"server  none answers at {common.address}")
    else:
        engines = server.online_engine_count
        print(
            f"server  {server.version} at {common.address}, "
            f"{engines} engine{'' if engines == 1 else 's'} online"
        )
    return 0


async def _asked(common: Common) -> ServerInfo:
    async with open_client(common) as client:
        return await client.server_info()
