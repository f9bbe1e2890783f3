"""The whole system on a bucket: dispatch, an engine, and two storage processes to be killed."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Clips, Run, dcctl
from tests.e2e.faults.conftest import Daemon

from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.object_connect import BucketOptions, connect
from servers import S3Server, free_port


class Farm:
    """One dispatch, one engine, and two storage processes on one bucket.

    `public_endpoint` is where engines look for the bucket, if not where storage does.
    """

    def __init__(self, folder: Path, s3: S3Server, public_endpoint: str = "") -> None:
        self.url = f"s3://{s3.new_bucket()}/distconv"
        self.endpoint = s3.url
        key_file = folder / "media.key"
        key_file.write_bytes(os.urandom(32))
        config = folder / "storage.toml"
        config.write_text(
            f'[storage]\nbucket_url = "{self.url}"\nbucket_endpoint = "{s3.url}"\n'
            f'bucket_public_endpoint = "{public_endpoint}"\n'
            "bucket_patience_s = 2\nsegment_delay_s = 0.05\n"
        )
        self.storages = [
            Daemon(
                "distconv-storage",
                folder / name,
                ["--bind", f"127.0.0.1:{free_port()}", "--media-key-file", str(key_file)]
                + ["--config", str(config)],
                env=s3.environment,
            )
            for name in ("one", "two")
        ]
        for storage in self.storages:
            storage.start()
        self.dispatch = Daemon(
            "distconv-dispatch",
            folder / "dispatch",
            ["--bind", "127.0.0.1:0", "--config", str(self._dispatch_config(folder, key_file))],
        )
        self.dispatch.start()
        self.address = self.dispatch.ready["address"]
        engine_config = folder / "engine.toml"
        engine_config.write_text("[engine]\nbenchmark_budget_s = 0\n")
        self.engine = Daemon(
            "distconv-engine",
            folder / "engine",
            ["--dispatch", self.address, "--config", str(engine_config)],
        )
        self.engine.start()

    def _dispatch_config(self, folder: Path, key_file: Path) -> Path:
        addresses = [storage.ready["address"] for storage in self.storages]
        config = folder / "dispatch.toml"
        config.write_text(
            f"[dispatch]\nstorage_addresses = {json.dumps(addresses)}\n"
            f'media_key_file = "{key_file}"\n'
        )
        return config

    def bucket(self) -> Bucket:
        return connect(BucketOptions(url=self.url, endpoint=self.endpoint))

    def written_through_storage(self) -> set[str]:
        """Return the objects of which any byte came to a storage process by Write."""
        ended = [one for storage in self.storages for one in storage.logged("write_ended")]
        uploads = [one["upload"] for one in ended if one["taken_bytes"]]
        return {f"objects/{name.removeprefix('uploads/').partition('.')[0]}" for name in uploads}

    def close(self) -> None:
        for daemon in (self.engine, self.dispatch, *self.storages):
            if daemon.process is not None:
                daemon.kill()


@pytest.fixture
def farm(
    request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Farm]:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    made = Farm(tmp_path, s3, public_endpoint=getattr(request, "param", ""))
    yield made
    made.close()


def _begin(farm: Farm, clips: Clips, profile: Path | str, out: Path) -> Run:
    return Run(
        *("transcode", clips.long, "-o", out, "-p", profile, "--server", farm.address),
        *("--progress", "json", "--json"),
    )


async def test_what_is_stored_through_one_is_served_and_transcoded_through_the_other(
    farm: Farm, clips: Clips, tmp_path: Path
) -> None:
    server = ("--server", farm.address)
    stored = [_put(clips.tiny, *server) for _ in range(4)]  # spread over both
    outs = tmp_path / "outs"
    outs.mkdir()
    for number, storage in enumerate(farm.storages):
        storage.kill()
        for index, name in enumerate(stored):
            out = outs / f"{number}-{index}.mp4"
            assert dcctl("objects", "get", name, "-o", out, *server).returncode == 0
            assert out.read_bytes() == clips.tiny.read_bytes()
        out = outs / f"{number}.mkv"
        done = dcctl("transcode", clips.tiny, "-o", out, "-p", "h264", *server)
        assert done.returncode == 0, done.stderr
        assert out.stat().st_size > 0
        storage.start()
    assert await farm.bucket().list("staging") == []
    outputs = {one["object"]: one["direct_bytes"] for one in farm.engine.logged("output_arrived")}
    assert len(outputs) >= 2
    assert min(outputs.values()) > 0
    through_storage = farm.written_through_storage()
    assert through_storage & {f"objects/{name}" for name in stored}
    assert not through_storage & {*outputs}  # no byte of them passed by Write
    assert farm.engine.log_count("direct_write_given_up") == 0


def _put(path: Path, *server: str) -> str:
    done = dcctl("objects", "put", path, *server)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "farm", ["http://127.0.0.1:9", "http://bucket.invalid:9000"], indirect=True
)
def test_a_bucket_that_the_engine_cannot_reach_costs_no_attempt(
    farm: Farm, clips: Clips, tmp_path: Path
) -> None:
    out = tmp_path / "out.mkv"
    server = ("--server", farm.address)
    done = dcctl(
        "transcode", clips.tiny, "-o", out, "-p", "h264", "--no-overlap", "--json", *server
    )
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)["job"]
    assert (job["state"], job["retry_count"]) == ("COMPLETED", 0)
    assert out.stat().st_size > 0
    for said in ("direct_read_given_up", "direct_write_given_up"):
        assert farm.engine.log_count(said) > 0
    assert {one["direct_bytes"] for one in farm.engine.logged("output_arrived")} == {0}


def test_storage_processes_killed_in_turn_cost_no_attempt(
    farm: Farm, clips: Clips, tmp_path: Path
) -> None:
    profile = tmp_path / "brisk.toml"
    profile.write_text('[brisk]\nextends = "h264"\nvideo = { preset = "slower", threads = 1 }\n')
    out = tmp_path / "out.mp4"
    run = _begin(farm, clips, profile, out)
    run.job_in("TRANSCODING")
    for storage in farm.storages:
        storage.kill()
        run.event(lambda e: e["event"] == "job" and e["job"]["progress"]["fraction"] > 0)
        storage.start()
    code, text, _ = run.end(within_s=100)
    assert code == 0, run.seen[-5:]
    job = json.loads(text)["job"]
    assert (job["state"], job["retry_count"]) == ("COMPLETED", 0)
    assert out.stat().st_size > 0
