"""Take engines out of service and back in, or out for good."""

import asyncio
from collections.abc import Awaitable

import pytest

from distconv.core.errors import (
    DistconvError,
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
)
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_pb2, job_pb2

from .conftest import Engine, Farm


async def _error(call: Awaitable[object]) -> DistconvError:
    with pytest.raises(DistconvError) as caught, translated():
        await call
    return caught.value


async def _set(
    farm: Farm, engine: Engine, *, maintenance: bool, release: bool = False
) -> engine_pb2.Engine:
    request = pb.SetEngineMaintenanceRequest(
        name=engine.name, maintenance=maintenance, release=release
    )
    return (await farm.client.SetEngineMaintenance(request)).engine


async def _revoke(farm: Farm, engine: Engine) -> engine_pb2.Engine:
    return (await farm.client.RevokeEngine(pb.RevokeEngineRequest(name=engine.name))).engine


async def test_an_engine_in_maintenance_finishes_what_it_has(farm: Farm) -> None:
    engine = await farm.engine()
    first = await farm.job()
    probe = await engine.next_assignment()
    shown = await _set(farm, engine, maintenance=True)
    assert shown.state == engine_pb2.ENGINE_STATE_DRAINING
    assert shown.maintenance
    assert (await engine.tell(engine.probed(probe))).accepted
    waiting = await farm.until(first.name, lambda job: "no new work" in job.wait_reason)
    assert waiting.state == job_pb2.JOB_STATE_PENDING
    shown = (await farm.client.GetEngine(pb.GetEngineRequest(name=engine.name))).engine
    assert shown.state == engine_pb2.ENGINE_STATE_MAINTENANCE
    back = await _set(farm, engine, maintenance=False)
    assert back.state == engine_pb2.ENGINE_STATE_ONLINE
    assert first.name in (await engine.next_assignment()).attempt


async def test_maintenance_holds_over_a_reconnection(farm: Farm) -> None:
    engine = await farm.engine()
    await _set(farm, engine, maintenance=True)
    await engine.vanish()
    again = await farm.engine(engine.id)
    job = await farm.job()
    await farm.until(job.name, lambda j: "no new work" in j.wait_reason)
    await _set(farm, again, maintenance=False)
    assert job.name in (await again.next_assignment()).attempt


async def test_what_an_engine_runs_can_be_taken_from_it(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    probe = await engine.next_assignment()
    await engine.reply(probe)
    await _set(farm, engine, maintenance=True, release=True)
    assert (await engine.hear("cancel_attempt")).cancel_attempt.attempt == probe.attempt
    other = await farm.engine()
    again = await other.next_assignment()
    assert job.name in again.attempt
    assert not (await engine.tell(engine.probed(probe))).accepted
    assert (await other.tell(other.probed(again))).accepted
    assert (await farm.get(job.name)).retry_count == 0


async def test_a_revoked_engine_is_out_for_good(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    await engine.next_assignment()
    revoked = await _revoke(farm, engine)
    assert revoked.state == engine_pb2.ENGINE_STATE_REVOKED
    await engine.hear("cancel_attempt")
    assert (await engine.code()).name == "PERMISSION_DENIED"
    assert (await _revoke(farm, engine)).state == engine_pb2.ENGINE_STATE_REVOKED
    other = await farm.engine()
    assert job.name in (await other.next_assignment()).attempt
    again = farm.stranger(engine.id)
    error = await _error(again.hello())
    assert isinstance(error, PermissionDeniedError)
    shown = (await farm.client.GetEngine(pb.GetEngineRequest(name=engine.name))).engine
    assert shown.state == engine_pb2.ENGINE_STATE_REVOKED
    error = await _error(_set(farm, engine, maintenance=False))
    assert isinstance(error, FailedPreconditionError)


async def test_engines_that_are_not_there_are_not_found(farm: Farm) -> None:
    missing = farm.stranger()
    async with asyncio.timeout(10):
        assert isinstance(await _error(_set(farm, missing, maintenance=True)), NotFoundError)
        assert isinstance(await _error(_revoke(farm, missing)), NotFoundError)
