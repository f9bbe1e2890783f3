"""The one list of what the contract has and this version does not serve yet."""

from distconv.core.errors import UnimplementedError

UNSERVED_METHODS = (
    "distconv.v1.DispatchService.BatchCreateJobs",
    "distconv.v1.DispatchService.UpdateJob",
    "distconv.v1.DispatchService.PauseJob",
    "distconv.v1.DispatchService.ResumeJob",
    "distconv.v1.DispatchService.RetryJob",
    "distconv.v1.DispatchService.DeleteJob",
    "distconv.v1.DispatchService.AssignJob",
    "distconv.v1.DispatchService.ExplainJob",
    "distconv.v1.DispatchService.GetJobHistory",
    "distconv.v1.DispatchService.SetEngineMaintenance",
    "distconv.v1.DispatchService.RevokeEngine",
    "distconv.v1.EngineService.RegisterEngine",
    # Storage's own; clients ask dispatch alone what a system serves.
    "distconv.v1.StorageService.GetUrl",
    "distconv.v1.StorageService.Read.follow",
)


def unserved(method: str) -> UnimplementedError:
    """Make the error that a method of the list answers with; `method` is its own name."""
    full = next(name for name in UNSERVED_METHODS if name.endswith(f".{method}"))
    return UnimplementedError(
        f"{method} is not served by this version of distconv; GetServerInfo lists what is not",
        metadata={"method": full},
    )
