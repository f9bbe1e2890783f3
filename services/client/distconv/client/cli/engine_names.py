"""Which engine somebody means: by its id, shortened or not, or by its name."""

from contextlib import aclosing

from distconv.client.cli.conditions import quoted
from distconv.client.client import Client
from distconv.client.engine import Engine
from distconv.core.engine import EngineState
from distconv.core.errors import NotFoundError
from distconv.core.names import bare, is_id


async def engine_id(client: Client, given: str) -> str:
    """Return the id of the engine that is meant; what no engine is called is returned as it is.

    Of several a revoked one is not meant, nor one that is offline if a single one is not.
    Raises NotFoundError, which lists the ids, when it may still be several.
    """
    wanted = bare(given.strip(), "engines")
    if not wanted or wanted != given.strip() or is_id(wanted):
        return wanted
    async with aclosing(client.list_engines(filter=f"text : {quoted(wanted)}")) as engines:
        meant = _likeliest([engine async for engine in engines if _may_be(engine, wanted)])
    if len(meant) > 1:
        shown = ", ".join(f"{e.id} ({e.display_name}, {e.state})" for e in meant)
        raise NotFoundError(
            f"several engines are called '{wanted}': {shown}; say the id of one",
            metadata={"engines": ",".join(engine.id for engine in meant)},
        )
    return meant[0].id if meant else wanted


async def given_to(client: Client, condition: str, engine: str | None) -> str:
    """Return the condition, and that what is listed was given to `engine`, None for any.

    Raises what `engine_id` does.
    """
    if engine is None:
        return condition
    given = f"engine = {quoted(await engine_id(client, engine))}"
    return f"{condition} AND {given}" if condition else given


def _may_be(engine: Engine, wanted: str) -> bool:
    return engine.display_name == wanted or engine.id.startswith(wanted.lower())


def _likeliest(engines: list[Engine]) -> list[Engine]:
    standing = [engine for engine in engines if engine.state is not EngineState.REVOKED] or engines
    there = [engine for engine in standing if engine.state is not EngineState.OFFLINE]
    return there if len(there) == 1 else standing
