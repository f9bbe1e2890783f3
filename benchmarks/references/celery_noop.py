"""A no-op task of Celery on Redis, and a client that enqueues it and reads every result.

Runs in the references' environment: it knows nothing of distconv.
"""

import json
import os
import sys
import time

from celery import Celery  # type: ignore[import-not-found]
from celery.result import ResultSet  # type: ignore[import-not-found]

app = Celery("noop", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    # What Celery's guide to optimising advises for many short tasks.
    worker_prefetch_multiplier=64,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    result_expires=3600,
)


@app.task(name="noop")  # type: ignore[untyped-decorator]
def noop(number: int) -> int:
    """Do nothing."""
    return number


def main() -> None:
    """Do what is asked by lines of JSON on stdin until it ends."""
    print(json.dumps({"event": "ready"}), flush=True)
    for line in sys.stdin:
        count = json.loads(line)["count"]
        start = time.monotonic()
        with app.connection_for_write() as connection:
            producer = app.amqp.Producer(connection)
            results = [noop.apply_async((number,), producer=producer) for number in range(count)]
        enqueued_s = time.monotonic() - start
        values = ResultSet(results, app=app).join_native(timeout=300)
        took_s = time.monotonic() - start
        if values != list(range(count)):
            raise SystemExit("a result is missing or wrong")
        print(
            json.dumps({"event": "finished", "took_s": took_s, "enqueued_s": enqueued_s}),
            flush=True,
        )


if __name__ == "__main__":
    main()
