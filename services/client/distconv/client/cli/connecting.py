"""Find the server and talk to it."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from distconv.client.cli.options import DEFAULT_SERVER, Common
from distconv.client.client import DEFAULT_RECONNECT, Client
from distconv.client.patience import Break
from distconv.core.errors import DistconvError

# A server on this machine answers within milliseconds; another program on its port may never.
_LOOK_S = 2.0


def open_client(
    common: Common,
    *,
    address: str = "",
    known_as: str = "",
    reconnect: timedelta = DEFAULT_RECONNECT,
    note: Callable[[str], None] | None = None,
) -> Client:
    """Make a client of the server that was asked for; breaks are noted, once for each."""
    where = address or common.address
    say = note or (lambda text: print(text, file=sys.stderr, flush=True))

    def on_break(broken: Break) -> None:
        # The first try after a break follows at once; the later ones need no line each.
        if broken.first:
            say(f"{broken.sentence}; trying again for {reconnect.total_seconds():g} s")

    return Client(
        where,
        reconnect=reconnect,
        on_break=on_break,
        tenant=common.tenant,
        tls_ca=common.tls_ca,
        known_as=known_as,
    )


async def answers(address: str = DEFAULT_SERVER) -> bool:
    """Tell whether a distconv server listens at `address` of this machine."""
    host, _, port = address.rpartition(":")
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_LOOK_S):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        with suppress(DistconvError):
            async with Client(address) as client:
                await client.server_info(timeout_s=_LOOK_S)
                return True
    return False
