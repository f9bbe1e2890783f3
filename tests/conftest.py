"""Real servers, private to the test run, one of each for the session.

A test that kills a server starts one of its own with tools/servers.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NoReturn

# Imported here, at the top of the stack: CPython 3.11 raises "AST constructor recursion depth
# mismatch" when hypothesis is first imported deep inside asyncio.
import hypothesis
import pytest

from servers import (
    AzureServer,
    MissingServerError,
    NatsServer,
    PostgresqlServer,
    S3Server,
    azure_server,
    nats_server,
    postgresql_server,
    s3_server,
)

# How long an example takes tells of the machine's load, and nothing of the code.
hypothesis.settings.register_profile("distconv", deadline=None)
hypothesis.settings.load_profile("distconv")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL without fsync; `postgresql.new_database()` returns a URL."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgresql_server(fsync=False))
        except MissingServerError as error:
            lacking(error)
        yield server


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsServer]:
    """A NATS with JetStream; tests share it, so they name their streams apart."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(nats_server())
        except MissingServerError as error:
            lacking(error)
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 over HTTP; `s3.new_bucket()` makes an empty bucket."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(s3_server())
        except MissingServerError as error:
            lacking(error)
        yield server


@pytest.fixture(scope="session")
def azure() -> Iterator[AzureServer]:
    """An Azure Blob Storage over HTTP; `azure.new_container()` makes an empty container."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(azure_server())
        except MissingServerError as error:
            lacking(error)
        yield server


def lacking(error: MissingServerError) -> NoReturn:
    """Skip at home; in CI, where every server has to be, fail."""
    if os.environ.get("CI"):
        pytest.fail(str(error))
    pytest.skip(str(error))
