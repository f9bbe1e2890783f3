"""Nothing touches the engine's disk: the kernel kills whoever writes a file above the limit."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Up, dcctl

from distconv.media.ffmpeg import bundled_ffmpeg

MIB = 1024 * 1024
ENGINE = str(Path(sys.executable).parent / "distconv-engine")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of more than 30 MiB whose index lies last."""
    path = tmp_path_factory.mktemp("large") / "large.mp4"
    subprocess.run(
        [str(bundled_ffmpeg()), "-nostdin", "-v", "error"]
        + ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=8"]
        + ["-f", "lavfi", "-i", "sine=sample_rate=48000:duration=8"]
        + ["-vf", "noise=alls=40:allf=t,format=yuv420p", "-c:v", "libx264"]
        + ["-preset", "ultrafast", "-qp", "4", "-c:a", "aac", str(path)],
        check=True,
    )
    return path


@pytest.fixture
def diskless(idle: Up, tmp_path: Path) -> Iterator[Up]:
    """An engine that, with all its children, may write no file above 1 MiB."""
    # Set here and inherited, so that nothing runs between fork and exec.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    try:
        engine = subprocess.Popen(
            [ENGINE, "--dispatch", idle.address, "--data-dir", str(tmp_path / "engine")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert engine.stdout is not None
    assert json.loads(engine.stdout.readline())["event"] == "ready"
    limits = Path(f"/proc/{engine.pid}/limits").read_text()
    assert f"Max file size             {MIB}" in limits
    yield idle
    engine.send_signal(signal.SIGTERM)
    engine.communicate(timeout=30)
    assert engine.returncode == 0


@pytest.mark.parametrize(("profile", "ending"), [("copy", "mkv"), ("h264", "mp4")])
def test_a_source_far_above_the_limit_goes_through(
    diskless: Up, large: Path, tmp_path: Path, profile: str, ending: str
) -> None:
    assert large.stat().st_size > 20 * MIB
    out = tmp_path / f"out.{ending}"
    done = dcctl("transcode", large, "-o", out, "-p", profile, "--server", diskless.address)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_size > 2 * MIB
    # All that the engine keeps is who it is, and the locks of its scratch folder.
    kept = {p.name for p in (tmp_path / "engine").rglob("*") if p.is_file()}
    assert kept == {"engine-id", "engine.lock", "lock"}
