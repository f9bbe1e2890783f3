"""Receive one file from a plain socket, or send one: what scp does, without its encryption."""

import argparse
import json
import shutil
import socket
from pathlib import Path

_BUFFER_BYTES = 1024 * 1024


def _receive(host: str, path: Path) -> None:
    with socket.create_server((host, 0)) as server:
        print(json.dumps({"event": "ready", "port": server.getsockname()[1]}), flush=True)
        connection, _ = server.accept()
    with connection, connection.makefile("rb") as stream, path.open("wb") as file:
        shutil.copyfileobj(stream, file, _BUFFER_BYTES)
    print(json.dumps({"event": "done"}), flush=True)


def _send(host: str, port: int, path: Path) -> None:
    with socket.create_connection((host, port)) as connection, path.open("rb") as file:
        connection.sendfile(file)


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, help="where to send the file; without it, receive one")
    said = parser.parse_args()
    if said.port is None:
        _receive(said.host, said.path)
    else:
        _send(said.host, said.port, said.path)


if __name__ == "__main__":
    _main()
