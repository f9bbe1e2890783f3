import os
import select
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from servers import (
    MissingServerError,
    NatsServer,
    PostgresqlServer,
    find_program,
    postgresql_server,
)

TOOLS = Path(__file__).parents[3] / "tools"


def test_a_missing_program_is_named_with_its_package():
    with pytest.raises(MissingServerError, match="apt-get install some-package"):
        find_program("no-such-program-anywhere", package="some-package")


def test_databases_are_apart(postgresql: PostgresqlServer):
    first, second = (postgresql.new_database() for _ in range(2))
    assert first != second
    name = urllib.parse.urlsplit(first).path.lstrip("/")
    assert postgresql.run_sql("SELECT current_database()", database=name) == name


def test_a_killed_postgresql_comes_back_with_what_it_promised(postgresql: PostgresqlServer):
    # The fixture `postgresql` is asked for so that a machine without one skips.
    with postgresql_server() as server:
        server.run_sql("CREATE TABLE kept (id int)")
        server.run_sql("INSERT INTO kept VALUES (7)")
        port, pid = server.port, server.pid
        server.kill()
        server.start()
        assert (server.port, server.pid != pid) == (port, True)
        assert server.run_sql("SELECT id FROM kept") == "7"
        folder = server.folder
    assert not folder.exists()


def test_servers_die_with_the_process_that_started_them(nats: NatsServer):
    script = (
        "import os, signal, sys\n"
        "from servers import nats_server\n"
        "with nats_server() as server:\n"
        "    print(server.pid, server.folder, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=TOOLS,
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    pid, folder = run.stdout.split()
    shutil.rmtree(folder)  # the one thing that a process killed outright leaves
    try:
        handle = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return  # gone already
    try:
        readable, _, _ = select.select([handle], [], [], 10)
        assert readable
    finally:
        os.close(handle)
