"""The latest progress of every running job, in memory: it is sampled, not stored per tick."""

from collections.abc import Callable

from distconv.core.progress import JobProgress

# Called with the job's id and tenant and what its engine reported.
Report = Callable[[str, str, JobProgress], None]


class ProgressBoard:
    """Keep one value per running job, whether its engine is connected here or elsewhere."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        """`on_change` is called with the job's id."""
        self._latest: dict[str, JobProgress] = {}
        # Of other replicas, with when they were heard: what is not heard of any more goes.
        self._heard: dict[str, float] = {}
        self._on_change = on_change
        self._reports: list[Report] = []

    def listen(self, report: Report) -> None:
        """Call `report` with all that engines connected here report; it must not block or raise."""
        self._reports.append(report)

    def post(self, job_id: str, progress: JobProgress, *, tenant: str) -> None:
        """Replace a job's progress by what an engine connected here reports."""
        self._heard.pop(job_id, None)
        if self._replace(job_id, progress):
            for report in self._reports:
                report(job_id, tenant, progress)

    def hear(self, job_id: str, progress: JobProgress, *, now_s: float) -> None:
        """Replace a job's progress by what another replica tells, if that is newer."""
        known = self._latest.get(job_id, progress).update_time
        if known is not None and progress.update_time is not None and known > progress.update_time:
            return
        self._heard[job_id] = now_s
        self._replace(job_id, progress)

    def get(self, job_id: str) -> JobProgress | None:
        """Return a job's latest progress."""
        return self._latest.get(job_id)

    def clear(self, job_id: str) -> None:
        """Forget a job that is not running any more."""
        self._latest.pop(job_id, None)
        self._heard.pop(job_id, None)

    def forget_unheard(self, *, since_s: float) -> None:
        """Forget what other replicas told before then: the word that it ended may be lost."""
        for job_id in [job for job, heard in self._heard.items() if heard < since_s]:
            self.clear(job_id)

    def _replace(self, job_id: str, progress: JobProgress) -> bool:
        if self._latest.get(job_id) == progress:
            return False
        self._latest[job_id] = progress
        self._on_change(job_id)
        return True
