import os
import sys

from distconv.media.sandbox import Limits, RlimitSandbox


def test_a_command_is_confined_by_the_shim() -> None:
    confined = RlimitSandbox().confine(
        ("/bin/true", "x"),
        limits=Limits(file_size_bytes=1, open_files=2, memory_bytes=3, cpu_time_s=4),
    )
    python, isolated, no_site, shim, parent, limits, *argv = confined.argv
    assert (python, isolated, no_site) == (sys.executable, "-I", "-S")
    assert shim.endswith("confine.py")
    assert parent == str(os.getpid())
    assert limits == "core=0,fsize=1,nofile=2,as=3,cpu=4"
    assert argv == ["/bin/true", "x"]
    assert confined.cwd == "/"


def test_nothing_of_our_environment_gets_through() -> None:
    os.environ["DISTCONV_TEST_SECRET"] = "x"
    try:
        env = RlimitSandbox(extra_env={"A": "b"}).confine(("/bin/true",), limits=Limits()).env
    finally:
        del os.environ["DISTCONV_TEST_SECRET"]
    assert env == {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "SVT_LOG": "1",
        "A": "b",
    }
