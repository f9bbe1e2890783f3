"""The latest progress of every running job, in memory: it is sampled, not stored per tick."""

from collections.abc import Callable

from distconv.core.progress import JobProgress


class ProgressBoard:
    """Keep one value per running job."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        """`on_change` is called with the job's id."""
        self._latest: dict[str, JobProgress] = {}
        self._on_change = on_change

    def post(self, job_id: str, progress: JobProgress) -> None:
        """Replace a job's progress."""
        if self._latest.get(job_id) != progress:
            self._latest[job_id] = progress
            self._on_change(job_id)

    def get(self, job_id: str) -> JobProgress | None:
        """Return a job's latest progress."""
        return self._latest.get(job_id)

    def clear(self, job_id: str) -> None:
        """Forget a job that is not running any more."""
        self._latest.pop(job_id, None)
