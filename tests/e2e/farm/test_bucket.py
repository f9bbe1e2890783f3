"""The whole system on a bucket: dispatch, an engine, and two storage processes to be killed."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.conftest import Clips, Run, dcctl
from tests.e2e.faults.conftest import Daemon

from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.object_connect import BucketOptions, connect
from servers import AzureServer, S3Server, free_port

_HOT_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class Cloud:
    """An object store: `new` makes a bucket and returns the URL of a prefix in it."""

    new: Callable[[str], str]
    endpoint: str
    environment: Mapping[str, str]


class Farm:
    """One dispatch, one engine, and two storage processes on one bucket."""

    def __init__(
        self, folder: Path, cloud: Cloud, *, in_storage: str = "", in_dispatch: str = ""
    ) -> None:
        """`in_storage` and `in_dispatch` are lines of TOML for their tables."""
        self.url = cloud.new("distconv")
        self.endpoint = cloud.endpoint
        key_file = folder / "media.key"
        key_file.write_bytes(os.urandom(32))
        config = folder / "storage.toml"
        config.write_text(
            f'[storage]\nbucket_url = "{self.url}"\nbucket_endpoint = "{self.endpoint}"\n'
            f"bucket_patience_s = 2\nsegment_delay_s = 0.05\n{in_storage}"
        )
        self.storages = [
            Daemon(
                "distconv-storage",
                folder / name,
                ["--bind", f"127.0.0.1:{free_port()}", "--media-key-file", str(key_file)]
                + ["--config", str(config)],
                env=cloud.environment,
            )
            for name in ("one", "two")
        ]
        for storage in self.storages:
            storage.start()
        self.dispatch = Daemon(
            "distconv-dispatch",
            folder / "dispatch",
            [
                "--bind",
                "127.0.0.1:0",
                "--config",
                str(self._dispatch_config(folder, key_file, in_dispatch)),
            ],
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

    def _dispatch_config(self, folder: Path, key_file: Path, more: str) -> Path:
        addresses = [storage.ready["address"] for storage in self.storages]
        config = folder / "dispatch.toml"
        config.write_text(
            f"[dispatch]\nstorage_addresses = {json.dumps(addresses)}\n"
            f'media_key_file = "{key_file}"\n{more}'
        )
        return config

    def bucket(self, url: str = "") -> Bucket:
        return connect(BucketOptions(url=url or self.url, endpoint=self.endpoint))

    def written_through_storage(self) -> set[str]:
        """Return the objects of which any byte came to a storage process by Write."""
        ended = [one for storage in self.storages for one in storage.logged("write_ended")]
        uploads = [one["upload"] for one in ended if one["taken_bytes"]]
        return {f"objects/{name.removeprefix('uploads/').partition('.')[0]}" for name in uploads}

    def close(self) -> None:
        for daemon in (self.engine, self.dispatch, *self.storages):
            if daemon.process is not None:
                daemon.kill()


@pytest.fixture(params=["s3", "azure"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3")
        made = Cloud(lambda name: f"s3://{s3.new_bucket()}/{name}", s3.url, s3.environment)
    else:
        azure: AzureServer = request.getfixturevalue("azure")
        made = Cloud(
            lambda name: f"az://{azure.new_container()}/{name}", azure.url, azure.environment
        )
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def farm(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud) -> Iterator[Farm]:
    made = Farm(tmp_path, cloud, in_storage=getattr(request, "param", ""))
    yield made
    made.close()


class Pools:
    """A farm with two pools beside the main bucket: for sources, and for what `h264` makes."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.hot, self.cold = map(cloud.new, ("hot", "cold"))
        pools = json.dumps([f"hot={self.hot}", f"cold={self.cold}"])
        self.farm = Farm(
            folder,
            cloud,
            in_storage=f'pools = {pools}\ntenant_pools = ["local=hot"]\n'
            f'pool_capacities = ["hot={_HOT_BYTES}"]\n',
            in_dispatch='profile_pools = ["h264=cold"]\n',
        )

    async def data(self, url: str) -> set[str]:
        """Return the objects whose bytes lie in a bucket."""
        found = await self.farm.bucket(url).list("objects/local/data")
        return {each.path.rpartition("/")[2].partition(".")[0] for each in found}


@pytest.fixture
def pools(tmp_path: Path, cloud: Cloud) -> Iterator[Pools]:
    made = Pools(tmp_path, cloud)
    yield made
    made.farm.close()


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


async def test_a_job_reads_from_one_pool_and_writes_to_another(
    pools: Pools, clips: Clips, tmp_path: Path
) -> None:
    farm = pools.farm
    server = ("--server", farm.address)
    one, other = farm.storages
    one.kill()
    out = tmp_path / "out.mp4"  # followed while it is uploaded
    done = dcctl("transcode", clips.tiny, "-o", out, "-p", "h264", "--keep", *server)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_size > 0
    _put(clips.tiny_mkv, *server)
    one.start()  # what is stored already is read from the pool's bucket
    job = dcctl("submit", clips.tiny_mkv, "-p", "h264", *server)
    assert "is stored already" in job.stderr
    assert dcctl("jobs", "watch", job.stdout.strip(), *server).returncode == 0
    other.kill()
    done = dcctl("download", job.stdout.strip(), "-o", tmp_path / "other.mp4", *server)
    assert done.returncode == 0, done.stderr
    listed = json.loads(dcctl("objects", "list", "--json", *server).stdout)["objects"]
    lies = {one["name"].removeprefix("objects/"): one["pool"] for one in listed}
    assert sorted(lies.values()) == ["cold", "cold", "hot", "hot"]
    for url, pool in ((pools.hot, "hot"), (pools.cold, "cold")):
        assert await pools.data(url) == {name for name, at in lies.items() if at == pool}
        assert await farm.bucket(url).list("staging") == []
    assert await pools.data(farm.url) == set()
    outputs = {one["object"]: one["direct_bytes"] for one in farm.engine.logged("output_arrived")}
    assert min(outputs.values()) > 0
    assert farm.engine.log_count("direct_write_given_up") == 0
    assert farm.engine.log_count("direct_read_given_up") == 0


def test_a_full_pool_refuses_and_tells_what_it_has(
    pools: Pools, clips: Clips, tmp_path: Path
) -> None:
    server = ("--server", pools.farm.address)
    _put(clips.tiny, *server)
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(_HOT_BYTES))
    refused = dcctl("objects", "put", large, *server)
    assert refused.returncode != 0
    assert f"the capacity of the storage pool 'hot' is {_HOT_BYTES} bytes" in refused.stderr
    shown = json.loads(dcctl("objects", "pools", "--json", *server).stdout)["pools"]
    room = {pool["name"]: (pool["used_bytes"], pool["free_bytes"]) for pool in shown}
    size_bytes = clips.tiny.stat().st_size
    assert room["hot"] == (size_bytes, _HOT_BYTES - size_bytes)
    assert room["main"] == room["cold"] == (0, None)
    rows = dcctl("objects", "pools", *server).stdout.splitlines()
    assert [row.split()[-1] for row in rows if "cold" in row] == ["unknown"]


@pytest.mark.parametrize(
    "farm",
    [
        f'bucket_public_endpoint = "{url}"\n'
        for url in ("http://127.0.0.1:9", "http://bucket.invalid:9000")
    ],
    ids=["refused", "unknown"],
    indirect=True,
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
