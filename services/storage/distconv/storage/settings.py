"""The settings of the storage service: table `storage`, variables `DISTCONV_STORAGE_…`."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from distconv.process.settings import ProcessSettings, default_data_dir
from distconv.rpc.limits import CHUNK_BYTES, MAX_CHUNK_BYTES
from distconv.storage.limits import MIB, Limits

TABLE = "storage"


class StorageSettings(ProcessSettings):
    """Every limit, timeout and threshold of the storage service."""

    bind: str = Field(
        default="127.0.0.1:7401",
        description="host:port to listen on; port 0 takes a free one; unused inside dispatch",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="folder to keep everything in, under storage/; on one local file system",
    )
    media_key_file: Path | None = Field(
        default=None,
        description="key shared with dispatch that signs media tokens, 32 bytes or more; "
        "unset: media.key in data_dir, made when missing",
    )
    drain_grace_s: float = Field(
        default=5.0, ge=0, le=3600, description="s that calls may go on after a stop was asked for"
    )
    max_object_bytes: int = Field(
        default=1024**4, ge=1, le=2**62, description="bytes, largest object; 1 TiB"
    )
    max_fragments: int = Field(
        default=65_536,
        ge=1,
        le=262_144,
        description="separate pieces that an upload may have arrived in; bounds memory",
    )
    min_free_bytes: int = Field(
        default=64 * MIB, ge=0, description="bytes of the disk that no new upload may claim"
    )
    write_batch_bytes: int = Field(
        default=2 * MIB,
        ge=MAX_CHUNK_BYTES,
        le=64 * MIB,
        description="bytes gathered of one stream before it is held back; twice that per stream",
    )
    sync_bytes: int = Field(
        default=4 * MIB,
        ge=MAX_CHUNK_BYTES,
        description="bytes written that start a sync to the disk at once",
    )
    sync_delay_s: float = Field(
        default=0.02,
        ge=0,
        le=10,
        description="s from the first byte written to the sync; bounds how late it is acknowledged",
    )
    unsynced_limit_bytes: int = Field(
        default=32 * MIB,
        ge=MAX_CHUNK_BYTES,
        description="bytes that an upload may be ahead of the disk before its writers wait",
    )
    read_piece_bytes: int = Field(
        default=CHUNK_BYTES,
        ge=4096,
        le=MAX_CHUNK_BYTES,
        description="bytes of one chunk sent to a reader",
    )
    read_ahead_bytes: int = Field(
        default=MIB,
        ge=4096,
        le=64 * MIB,
        description="bytes read at once, and ahead, for one reader; twice that per stream",
    )
    upload_ttl_s: float = Field(
        default=86_400,
        gt=0,
        description="s without a byte after which an upload is given up; one day",
    )
    rest_after_s: float = Field(
        default=300, gt=0, description="s without a byte after which an upload's files are closed"
    )
    follow_sign_s: float = Field(
        default=5,
        gt=0,
        le=30,
        description="s between two signs to a reader who waits for an upload that it follows",
    )
    follow_idle_s: float = Field(
        default=600,
        gt=0,
        description="s without a byte after which those who follow an upload give it up",
    )
    sweep_interval_s: float = Field(
        default=60, gt=0, description="s between two looks for uploads to give up"
    )
    io_threads: int = Field(
        default=8, ge=1, le=256, description="threads for reading, writing, syncing and hashing"
    )
    finish_concurrency: int = Field(
        default=2, ge=1, le=256, description="media files finished at the same time"
    )
    finish_stall_timeout_s: float = Field(
        default=60,
        gt=0,
        description="s without progress that end a finishing, plus 1 s for every 10 MB of the file",
    )
    ffmpeg: Path | None = Field(
        default=None,
        description="ffmpeg that finishes media; unset: the one on PATH or of imageio-ffmpeg",
    )

    @property
    def limits(self) -> Limits:
        """Return the bounds that the service works within."""
        return Limits(
            max_object_bytes=self.max_object_bytes,
            max_fragments=self.max_fragments,
            min_free_bytes=self.min_free_bytes,
            write_batch_bytes=self.write_batch_bytes,
            sync_bytes=self.sync_bytes,
            sync_delay=timedelta(seconds=self.sync_delay_s),
            unsynced_limit_bytes=self.unsynced_limit_bytes,
            read_piece_bytes=self.read_piece_bytes,
            read_ahead_bytes=self.read_ahead_bytes,
            upload_ttl=timedelta(seconds=self.upload_ttl_s),
            rest_after=timedelta(seconds=self.rest_after_s),
            follow_sign=timedelta(seconds=self.follow_sign_s),
            follow_idle=timedelta(seconds=self.follow_idle_s),
        )

    @property
    def sweep_interval(self) -> timedelta:
        """Return the time between two sweeps."""
        return timedelta(seconds=self.sweep_interval_s)

    @property
    def key_file(self) -> Path:
        """Return where the key that signs media tokens lies."""
        return self.media_key_file or self.data_dir / "media.key"
