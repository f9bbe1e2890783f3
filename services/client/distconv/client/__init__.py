"""The client SDK of distconv: send a video, follow the job, get the result back.

    from distconv.client import Client

    async with Client("127.0.0.1:7400") as client:
        await client.transcode(Path("in.mov"), Path("out.mp4"), profile="h264-720p")

Names are loaded when they are first used, so that commands start fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distconv.client.client import Client
    from distconv.client.engine import Engine
    from distconv.client.event import DeadLetter, Event
    from distconv.client.failures import JobCancelledError, JobFailedError
    from distconv.client.job import (
        Attempt,
        EngineFit,
        Explanation,
        Job,
        JobHistory,
        JobOutput,
        JobPage,
        JobSize,
        JobSource,
        JobTransition,
        Task,
    )
    from distconv.client.new_job import UNCHANGED, NewJob
    from distconv.client.patience import Break
    from distconv.client.server import ServerInfo
    from distconv.client.stored import (
        CollectedObject,
        CollectReason,
        Direction,
        ObjectState,
        StoragePool,
        StoredObject,
        Transfer,
    )
    from distconv.client.transcode import TranscodeResult
    from distconv.core.engine import EngineState
    from distconv.core.errors import DistconvError
    from distconv.core.failure import Failure
    from distconv.core.media import MediaInfo
    from distconv.core.profile import Container, Profile
    from distconv.core.progress import JobProgress
    from distconv.core.report import Note
    from distconv.core.states import JobState
    from distconv.core.transfer import TransferMode

_HOMES = {
    "Attempt": "distconv.client.job",
    "Break": "distconv.client.patience",
    "Client": "distconv.client.client",
    "CollectReason": "distconv.client.stored",
    "CollectedObject": "distconv.client.stored",
    "Container": "distconv.core.profile",
    "Direction": "distconv.client.stored",
    "DistconvError": "distconv.core.errors",
    "DeadLetter": "distconv.client.event",
    "Engine": "distconv.client.engine",
    "Event": "distconv.client.event",
    "EngineFit": "distconv.client.job",
    "EngineState": "distconv.core.engine",
    "Explanation": "distconv.client.job",
    "Failure": "distconv.core.failure",
    "Job": "distconv.client.job",
    "JobCancelledError": "distconv.client.failures",
    "JobFailedError": "distconv.client.failures",
    "JobHistory": "distconv.client.job",
    "JobOutput": "distconv.client.job",
    "JobPage": "distconv.client.job",
    "JobProgress": "distconv.core.progress",
    "JobSize": "distconv.client.job",
    "JobSource": "distconv.client.job",
    "JobState": "distconv.core.states",
    "JobTransition": "distconv.client.job",
    "MediaInfo": "distconv.core.media",
    "NewJob": "distconv.client.new_job",
    "Note": "distconv.core.report",
    "ObjectState": "distconv.client.stored",
    "Profile": "distconv.core.profile",
    "ServerInfo": "distconv.client.server",
    "StoragePool": "distconv.client.stored",
    "StoredObject": "distconv.client.stored",
    "Task": "distconv.client.job",
    "TranscodeResult": "distconv.client.transcode",
    "Transfer": "distconv.client.stored",
    "TransferMode": "distconv.core.transfer",
    "UNCHANGED": "distconv.client.new_job",
}

__all__ = [
    "UNCHANGED",
    "Attempt",
    "Break",
    "Client",
    "CollectReason",
    "CollectedObject",
    "Container",
    "DeadLetter",
    "Direction",
    "DistconvError",
    "Engine",
    "EngineFit",
    "EngineState",
    "Event",
    "Explanation",
    "Failure",
    "Job",
    "JobCancelledError",
    "JobFailedError",
    "JobHistory",
    "JobOutput",
    "JobPage",
    "JobProgress",
    "JobSize",
    "JobSource",
    "JobState",
    "JobTransition",
    "MediaInfo",
    "NewJob",
    "Note",
    "ObjectState",
    "Profile",
    "ServerInfo",
    "StoragePool",
    "StoredObject",
    "Task",
    "TranscodeResult",
    "Transfer",
    "TransferMode",
]


def __getattr__(name: str) -> object:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(home), name)
