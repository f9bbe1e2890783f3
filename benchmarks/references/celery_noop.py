"""A no-op task of Celery on Redis, and a client that enqueues it and reads every result.

As Celery's first steps do it, which is the fastest here: a prefetch of 64 tasks, one shared
producer and `ResultSet.join_native`, all three advised for many small tasks, made it a third
slower. Runs in the references' environment: it knows nothing of distconv.
"""

import json
import os
import sys
import time

from celery import Celery  # type: ignore[import-not-found]

app = Celery("noop", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
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
        results = [noop.delay(number) for number in range(count)]
        enqueued_s = time.monotonic() - start
        values = [result.get(timeout=300) for result in results]
        took_s = time.monotonic() - start
        if values != list(range(count)):
            raise SystemExit("a result is missing or wrong")
        print(
            json.dumps({"event": "finished", "took_s": took_s, "enqueued_s": enqueued_s}),
            flush=True,
        )


if __name__ == "__main__":
    main()
