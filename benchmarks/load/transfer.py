"""A client process that uploads and downloads through the SDK, told what to do in lines of JSON."""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from distconv.client import Client


async def _live(client: Client, folder: Path) -> None:
    await client.server_info()
    print(json.dumps({"event": "ready"}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        start = time.perf_counter()
        if asked["do"] == "upload":
            found = await asyncio.gather(*(client.upload(Path(path)) for path in asked["files"]))
            took_s = time.perf_counter() - start
        else:
            targets = [folder / f"fetched-{number}" for number in range(len(asked["objects"]))]
            found = await asyncio.gather(
                *(
                    client.download(name, path, overwrite=True)
                    for name, path in zip(asked["objects"], targets, strict=True)
                )
            )
            took_s = time.perf_counter() - start
            for path in targets:
                path.unlink()
            for name in asked["objects"]:
                await client.delete_object(name)
        names = [stored.name for stored in found]
        print(json.dumps({"event": "done", "took_s": took_s, "objects": names}), flush=True)


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ca", type=Path)
    said = parser.parse_args()
    async with Client(said.address, tls_ca=said.ca) as client:
        await _live(client, said.folder)


if __name__ == "__main__":
    asyncio.run(_main())
