"""The engine's settings."""

import os
import socket
from pathlib import Path

from pydantic import Field

from distconv.process.settings import ProcessSettings, TextList, default_data_dir

TABLE = "engine"


class EngineSettings(ProcessSettings):
    """Every limit, timeout and threshold of an engine."""

    dispatch_addresses: TextList = Field(
        default=("127.0.0.1:7400",), min_length=1, description="dispatch servers, host:port each"
    )
    tls_ca: Path | None = Field(
        default=None,
        description="certificates, PEM, one of which signed those of dispatch and storage; unset: "
        "talk to both in the clear",
    )
    data_dir: Path = Field(
        default_factory=lambda: default_data_dir() / "engine",
        description="where the engine keeps its identity",
    )
    scratch_dir: Path | None = Field(
        default=None,
        description="where media lies that is transferred as files, in a folder of this process's "
        "own; default: `scratch` in data_dir",
    )
    scratch_quota_bytes: int | None = Field(
        default=None,
        ge=0,
        description="how much of its disk the scratch folder may take, over all attempts, bytes; "
        "0: no transfer by file; default: 80 % of what the disk has free at the start",
    )
    shared_folders: TextList = Field(
        default=(),
        description="folders in which storage's own folder may be seen here, mounted read-only or "
        "not; a source that is proved to lie in one is read there and not sent",
    )
    display_name: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=63,
        description="what people call it",
    )
    slots: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 1) // 8),
        ge=1,
        le=256,
        description="attempts at once, 1..256; default one per eight processors",
    )
    tags: TextList = Field(default=(), description="tags that jobs may ask for")
    ffmpeg: Path | None = Field(
        default=None, description="the ffmpeg to use; default: on PATH, else the bundled one"
    )
    progress_interval_s: float = Field(
        default=0.5, ge=0.05, le=60, description="seconds between reports of progress, 0.05..60"
    )
    reconnect_min_s: float = Field(
        default=0.2, ge=0.01, le=60, description="first pause before connecting again, seconds"
    )
    reconnect_max_s: float = Field(
        default=5.0, ge=0.01, le=600, description="longest pause before connecting again, seconds"
    )
    media_patience_s: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="how long an attempt waits for a storage that is away, seconds",
    )
    upload_window_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024**3,
        description="output kept in memory until storage has acknowledged it, bytes; half of "
        "it, at most 8 MiB, makes a segment that is put into a bucket",
    )
    read_ahead_bytes: int = Field(
        default=1024 * 1024,
        ge=256 * 1024,
        le=1024**3,
        description="source asked for ahead of the encoder, bytes",
    )
    direct_reads: bool = Field(
        default=True,
        description="whether sources that lie in a bucket are read from there, by signed URLs, as "
        "long as that works; otherwise through storage",
    )
    direct_writes: bool = Field(
        default=True,
        description="whether outputs are put into the bucket in which storage keeps objects, by "
        "signed URLs, as long as that works; otherwise through storage",
    )
    direct_read_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=16 * 1024 * 1024,
        le=1024**3,
        description="blocks of a source in a bucket that an attempt fetches and keeps, bytes, "
        "16 MiB (one block of the largest files) to 1 GiB",
    )
    benchmark_budget_s: float = Field(
        default=60.0,
        ge=0,
        le=3_600,
        description="longest time that the measurements dispatch asks for take while the engine "
        "is idle, seconds, 0..3600; 0: never measure",
    )
    cancel_grace_s: float = Field(
        default=3.0,
        ge=0.1,
        le=60,
        description="from asking a runner to stop until it is killed, seconds",
    )
