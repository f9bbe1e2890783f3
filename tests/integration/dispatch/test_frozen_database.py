"""A PostgreSQL that neither answers nor breaks its connections."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from tests.conftest import lacking

from distconv.core.errors import UnavailableError
from distconv.dispatch.store.sql import SqlStore
from servers import MissingServerError, PostgresqlServer, postgresql_server


@pytest.fixture
def frail() -> Iterator[PostgresqlServer]:
    """A server of this test's own."""
    try:
        with postgresql_server(fsync=False) as server:
            yield server
    except MissingServerError as error:
        lacking(error)


async def test_reads_of_a_frozen_database_fail_within_three_seconds(
    frail: PostgresqlServer,
) -> None:
    store = await SqlStore.open_postgresql(await asyncio.to_thread(frail.new_database))
    await store.get_next_lease_expiry()
    frail.freeze()
    begin = time.monotonic()
    # On the connection that is open, and on one that would have to be opened.
    answers = await asyncio.gather(
        store.get_next_lease_expiry(), store.get_job("x"), return_exceptions=True
    )
    took_s = time.monotonic() - begin
    frail.thaw()
    assert [type(answer) for answer in answers] == [UnavailableError] * 2
    assert "no answer in time" in str(answers[0])
    assert took_s < 3
    assert await store.get_job("x") is None  # it comes back by itself
    await store.close()
