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
    for engine, called in (
        ("1m8kqg302m585z1v", "attic"),
        ("2m8kqg302m585z1v", "cellar"),
        ("3m8kqg302m585z1v", "cellar"),
        ("4m8kqg302m585z1v", "1m8k"),
    ):
        fake.state.engines.append(
            engine_pb2.Engine(
                name=f"engines/{engine}",
                display_name=called,
                state=engine_pb2.ENGINE_STATE_ONLINE,
            )
        )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("attic", "1m8kqg302m585z1v"),
        ("2m8kqg", "2m8kqg302m585z1v"),
        ("3m8kqg302m585z1v", "3m8kqg302m585z1v"),
        ("engines/1m8k", "1m8k"),  # an id in any case
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
    assert caught.value.message.count("m8kqg302m585z1v") == 2
