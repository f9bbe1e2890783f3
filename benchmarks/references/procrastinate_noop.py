"""A no-op task of procrastinate on PostgreSQL, and a client that defers it and reads every job.

Runs in the references' environment: it knows nothing of distconv.
"""

import asyncio
import json
import os
import sys
import time

import procrastinate  # type: ignore[import-not-found]

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=os.environ["DATABASE_URL"], min_size=4, max_size=16
    )
)


@app.task(name="noop", queue="noop")  # type: ignore[untyped-decorator]
async def noop(number: int) -> int:
    """Do nothing."""
    return number


async def _defer(count: int, concurrency: int) -> None:
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await noop.defer_async(number=number)

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def _finished(count: int) -> None:
    """Wait until all succeeded: procrastinate keeps no result, only how a job ended."""
    while True:
        row = await app.connector.execute_query_one_async(
            "SELECT count(*) AS done FROM procrastinate_jobs WHERE status = 'succeeded'"
        )
        if row["done"] >= count:
            break
        await asyncio.sleep(0.05)
    rows = await app.connector.execute_query_all_async(
        "SELECT id, args FROM procrastinate_jobs WHERE status = 'succeeded'"
    )
    if len(rows) != count:
        raise SystemExit("a job is missing or was made twice")


async def _clean() -> None:
    await app.connector.execute_query_async("DELETE FROM procrastinate_jobs")


async def main() -> None:
    """Do what is asked by lines of JSON on stdin until it ends."""
    async with app.open_async():
        print(json.dumps({"event": "ready"}), flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            request = json.loads(line)
            await _clean()
            start = time.monotonic()
            await _defer(request["count"], request["concurrency"])
            enqueued_s = time.monotonic() - start
            await _finished(request["count"])
            took_s = time.monotonic() - start
            print(
                json.dumps({"event": "finished", "took_s": took_s, "enqueued_s": enqueued_s}),
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main())
