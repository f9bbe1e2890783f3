from datetime import timedelta
from pathlib import Path

import pytest

from distconv.core.clock import SystemClock
from distconv.core.errors import InvalidArgumentError
from distconv.rpc.embedding import EmbedContext, find_embeddable
from distconv.rpc.server import ServerSettings, start_server
from distconv.rpc.tokens import MediaTokens
from distconv.storage.testing import Caller


async def test_a_host_finds_storage_and_serves_it(tmp_path: Path) -> None:
    tokens = MediaTokens(bytes(32), SystemClock())
    config = tmp_path / "distconv.toml"
    config.write_text("[storage]\nmax_object_bytes = 10\nmin_free_bytes = 0\n")
    embedded = find_embeddable("storage")(
        EmbedContext(data_dir=tmp_path, tokens=tokens, clock=SystemClock(), config_file=config)
    )
    await embedded.start()
    server = await start_server(
        ServerSettings(bind="127.0.0.1:0", drain_grace=timedelta(0)), embedded.services
    )
    caller = Caller(server.address, tokens)
    assert (await caller.put(b"0123456789")).size_bytes == 10
    with pytest.raises(InvalidArgumentError, match="at most 10"):
        await caller.create(11, object_id="0other")
    await caller.close()
    await server.stop()
    await embedded.stop()
    assert (tmp_path / "storage" / "objects" / "local").is_dir()


def test_a_bad_setting_of_the_hosts_file_is_named(tmp_path: Path) -> None:
    config = tmp_path / "distconv.toml"
    config.write_text("[storage]\nio_threads = 0\n")
    tokens = MediaTokens(bytes(32), SystemClock())
    with pytest.raises(InvalidArgumentError, match="setting 'io_threads'"):
        find_embeddable("storage")(
            EmbedContext(data_dir=tmp_path, tokens=tokens, clock=SystemClock(), config_file=config)
        )
