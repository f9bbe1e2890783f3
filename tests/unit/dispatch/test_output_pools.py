"""What is made with a profile goes to the storage pool that the profile has."""

from tests.unit.dispatch.test_scheduling import PROFILE, World

from distconv.dispatch.sessions.messages import Assignment, TranscodeWork
from distconv.rpc.tokens import KEY_BYTES, MediaTokens


async def _pools(world: World) -> tuple[str, str]:
    """Assign a job; return the pools in the tokens for its source and its output."""
    await world.job()
    session = await world.engine()
    await world.dispatch.scheduler.run()
    tokens = MediaTokens(b"k" * KEY_BYTES, world.clock)
    while True:
        message = session._out.get_nowait()
        if isinstance(message, Assignment) and isinstance(message.work, TranscodeWork):
            work = message.work
            return tokens.verify(work.source.token).pool, tokens.verify(work.sink.token).pool


async def test_an_output_goes_to_the_pool_of_its_profile() -> None:
    assert await _pools(World(profile_pools=[f"{PROFILE.name}=fast"])) == ("", "fast")
    assert await _pools(World(profile_pools=["another=fast"])) == ("", "")
