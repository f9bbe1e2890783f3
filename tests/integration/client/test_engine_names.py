"""Engines that people name in one way or the other."""

import pytest

from distconv.client import Client
from distconv.client.cli.engine_names import engine_id
from distconv.client.testing import FakeSystem
from distconv.core.errors import NotFoundError
from distconv.v1 import engine_pb2


@pytest.fixture(autouse=True)
def engines(fake: FakeSystem) -> None:
    fake.state.engines.clear()
    for engine, called, state in (
        ("1m8kqg302m585z1v", "attic", engine_pb2.ENGINE_STATE_ONLINE),
        ("2m8kqg302m585z1v", "cellar", engine_pb2.ENGINE_STATE_ONLINE),
        ("3m8kqg302m585z1v", "cellar", engine_pb2.ENGINE_STATE_ONLINE),
        ("4m8kqg302m585z1v", "1m8k", engine_pb2.ENGINE_STATE_ONLINE),
        ("5m8kqg302m585z1v", "shed", engine_pb2.ENGINE_STATE_REVOKED),
        ("6m8kqg302m585z1v", "shed", engine_pb2.ENGINE_STATE_OFFLINE),
        ("7m8kqg302m585z1v", "loft", engine_pb2.ENGINE_STATE_REVOKED),
        ("8m8kqg302m585z1v", "loft", engine_pb2.ENGINE_STATE_OFFLINE),
        ("9m8kqg302m585z1v", "loft", engine_pb2.ENGINE_STATE_MAINTENANCE),
        ("0m8kqg302m585z1v", "cabin", engine_pb2.ENGINE_STATE_REVOKED),
    ):
        fake.state.engines.append(
            engine_pb2.Engine(
                name=f"engines/{engine}",
                display_name=called,
                state=state,
            )
        )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("attic", "1m8kqg302m585z1v"),
        ("2m8kqg", "2m8kqg302m585z1v"),
        ("3m8kqg302m585z1v", "3m8kqg302m585z1v"),
        ("engines/1m8k", "1m8k"),  # an id in any case
        ("shed", "6m8kqg302m585z1v"),  # the other is revoked
        ("loft", "9m8kqg302m585z1v"),  # one is revoked, one has gone
        ("cabin", "0m8kqg302m585z1v"),  # revoked, but the only one
        ("barn", "barn"),  # the server says that there is none
    ],
)
async def test_a_name_or_an_id_says_which_engine_is_meant(
    client: Client, given: str, meant: str
) -> None:
    assert await engine_id(client, given) == meant


@pytest.mark.parametrize("given", ["cellar", "1m8k"])
async def test_what_may_be_several_is_refused_with_their_ids(client: Client, given: str) -> None:
    with pytest.raises(NotFoundError, match="say the id of one") as caught:
        await engine_id(client, given)
    assert "m8kqg302m585z1v (" in caught.value.message
    assert ", ONLINE)" in caught.value.message
    assert caught.value.message.count("m8kqg302m585z1v") == 2
    assert caught.value.metadata["engines"].count("m8kqg302m585z1v") == 2
