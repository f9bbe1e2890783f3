"""A client process: creates jobs by the stub of the contract, and reads what became of them.

Commands come as lines of JSON on stdin; each is answered by one line with its `event`.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio

from benchmarks.load.media import PROFILE
from distconv.core.clock import SystemClock
from distconv.core.ids import new_id
from distconv.rpc.auth import TENANT_KEY
from distconv.rpc.channel import open_channel
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import job_pb2
from distconv.v1.dispatch_service_pb2_grpc import DispatchServiceStub

_PAGE = 1000
_BATCH = 1000
_BATCHES_AT_A_TIME = 4


class LoadClient:
    """Makes jobs on one channel, so many calls at a time."""

    def __init__(self, address: str) -> None:
        self._channel = open_channel(address)
        self._clock = SystemClock()
        self._stub: Any = DispatchServiceStub(self._channel)
        # One object for all jobs of a tenant: its first job probes it, the others need not.
        self._objects: dict[str, str] = {}
        self._made: dict[str, set[str]] = {}

    async def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Create jobs one per call; with a `rate` (jobs/s) as they fall due, else at full speed."""
        count, tenants = request["count"], request["tenants"]
        rate, profile = request.get("rate", 0.0), request.get("profile", PROFILE)
        rows: list[tuple[str, str, float, float]] = []
        orders = iter(range(count))
        start = time.monotonic()

        async def worker() -> None:
            for number in orders:
                if rate:
                    await asyncio.sleep(max(start + number / rate - time.monotonic(), 0))
                rows.append(await self._create(tenants[number % len(tenants)], profile))

        async with asyncio.TaskGroup() as group:
            for _ in range(request["concurrency"]):
                group.create_task(worker())
        took_s = time.monotonic() - start
        if path := request.get("path"):
            await asyncio.to_thread(Path(path).write_text, json.dumps(rows))
        return {"event": "created", "took_s": took_s, "start": start, "count": len(rows)}

    async def _create(self, tenant: str, profile: str) -> tuple[str, str, float, float]:
        sent = time.monotonic()
        answer = await self._stub.CreateJob(
            pb.CreateJobRequest(
                job=self._job(tenant, profile), request_id=new_id(self._clock.now())
            ),
            metadata=((TENANT_KEY, tenant),),
            timeout=60,
        )
        self._made.setdefault(tenant, set()).add(answer.job.name)
        return answer.job.name, tenant, sent, time.monotonic()

    def _order(self, tenant: str, profile: str) -> pb.CreateJobRequest:
        return pb.CreateJobRequest(
            job=self._job(tenant, profile), request_id=new_id(self._clock.now())
        )

    def _job(self, tenant: str, profile: str) -> job_pb2.Job:
        known = self._objects.get(tenant)
        if known is None:
            known = self._objects[tenant] = new_id(self._clock.now())
        return job_pb2.Job(
            source=job_pb2.JobSource(object=f"objects/{known}", file_name="film.mp4"),
            profile=profile,
            labels={"title": "no-op"},
        )

    async def batch(self, request: dict[str, Any]) -> dict[str, Any]:
        """Create jobs in calls of many, a few of them at a time."""
        count, tenant, size = request["count"], request["tenants"][0], request.get("size", _BATCH)
        made = self._made.setdefault(tenant, set())
        batches = iter(range(0, count, size))
        start = time.monotonic()

        async def worker() -> None:
            for _ in batches:
                answer = await self._stub.BatchCreateJobs(
                    pb.BatchCreateJobsRequest(
                        requests=[self._order(tenant, PROFILE) for _ in range(size)]
                    ),
                    metadata=((TENANT_KEY, tenant),),
                    timeout=120,
                )
                made.update(job.name for job in answer.jobs)

        async with asyncio.TaskGroup() as group:
            for _ in range(_BATCHES_AT_A_TIME):
                group.create_task(worker())
        return {"event": "created", "took_s": time.monotonic() - start, "count": count}

    async def finish(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002  # a command
        """Wait until every job that was made is COMPLETED, reading each one's result."""
        count = 0
        for tenant, names in self._made.items():
            metadata = ((TENANT_KEY, tenant),)
            while names:
                async for job in self._listed(metadata, enough=len(names)):
                    if job.name in names and job.state == job_pb2.JOB_STATE_COMPLETED:
                        if not job.output.sha256:
                            raise SystemExit(f"{job.name} is completed without a result")
                        names.discard(job.name)
                        count += 1
                if names:
                    await self._follow(max(names), metadata)
        self._made.clear()
        return {"event": "finished", "count": count, "at": time.monotonic()}

    async def _listed(self, metadata: Any, *, enough: int) -> AsyncIterator[job_pb2.Job]:
        token, seen = "", 0
        while True:
            page = await self._stub.ListJobs(
                pb.ListJobsRequest(page_size=_PAGE, page_token=token, filter="state = COMPLETED"),
                metadata=metadata,
                timeout=60,
            )
            for job in page.jobs:
                yield job
            seen += len(page.jobs)
            token = page.next_page_token
            if not token or seen > 2 * enough + _PAGE:
                return

    async def _follow(self, name: str, metadata: Any) -> None:
        stream = self._stub.WatchJob(pb.WatchJobRequest(name=name), metadata=metadata, timeout=300)
        async for answer in stream:
            if answer.job.state == job_pb2.JOB_STATE_FAILED:
                raise SystemExit(f"{name} failed: {answer.job.error.message}")

    async def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time ListJobs, or ListTasks, `rounds` times: the first page, and one `deep` pages on."""
        metadata = ((TENANT_KEY, request["tenants"][0]),)
        names = ("page_size", "filter", "order_by", "with_total_size")
        ask = {name: request[name] for name in names if name in request}
        call: Any
        message: Any
        if request.get("method") == "ListTasks":
            call, message = self._stub.ListTasks, partial(pb.ListTasksRequest, parent="jobs/-")
        else:
            call, message = self._stub.ListJobs, pb.ListJobsRequest
        token = ""
        for _ in range(request.get("deep", 0)):
            page = await call(
                message(**{**ask, "page_size": 1000, "page_token": token}),
                metadata=metadata,
                timeout=60,
            )
            token = page.next_page_token
            if not token:
                raise SystemExit("there are not so many pages")
        times, found = [], 0
        for _ in range(request.get("rounds", 10)):
            start = time.perf_counter()
            page = await call(message(**ask, page_token=token), metadata=metadata, timeout=60)
            times.append(time.perf_counter() - start)
            found = len(page.tasks if request.get("method") == "ListTasks" else page.jobs)
        return {"event": "listed", "times": times, "found": found}


async def _serve(address: str) -> None:
    client = LoadClient(address)
    commands: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
        "create": client.create,
        "batch": client.batch,
        "finish": client.finish,
        "list": client.list,
    }
    print(json.dumps({"event": "ready"}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        try:
            answer = await commands[request["do"]](request)
        except grpc.aio.AioRpcError as error:
            raise SystemExit(f"{request['do']}: {error.code().name}: {error.details()}") from error
        print(json.dumps(answer), flush=True)


def main() -> None:
    """Do what is asked until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    asyncio.run(_serve(parser.parse_args().address))


if __name__ == "__main__":
    main()
