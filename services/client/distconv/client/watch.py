"""Follow a job to its end, through breaks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from distconv.client.connection import Connection
from distconv.client.convert.job import to_job
from distconv.client.job import Job
from distconv.client.patience import is_break
from distconv.core.errors import DistconvError, UnavailableError
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as dispatch


async def watch(connection: Connection, name: str) -> AsyncGenerator[Job, None]:
    """Yield snapshots of a job, the first at once, the last in a terminal state.

    After a break it attaches again, to the next server at once when several are
    known, within the connection's patience, counted from the last snapshot.
    """
    patience = connection.patience()
    untried = len(connection.replicas)
    while True:
        address = connection.address
        try:
            async with aclosing(_attached(connection, name)) as snapshots:
                async for job in snapshots:
                    connection.answered()
                    patience.progressed()
                    untried = len(connection.replicas)
                    yield job
                    if job.state.is_terminal:
                        return
            error: DistconvError = UnavailableError("the watch ended before the job did")
        except DistconvError as caught:
            if not is_break(caught):
                raise
            error = caught
        if patience.is_nil:
            patience = connection.patience()
        connection.lost(address)
        untried -= 1
        if untried > 0:
            continue  # another replica knows the job as well
        untried = len(connection.replicas)
        await patience.pause(error)


async def _attached(connection: Connection, name: str) -> AsyncGenerator[Job, None]:
    with translated(connection.address):
        # No deadline: a job may take days, and keepalive finds a dead server.
        call = connection.dispatch.WatchJob(
            dispatch.WatchJobRequest(name=name), metadata=connection.identity
        )
        try:
            async for response in call:
                yield to_job(response.job)
        finally:
            call.cancel()
