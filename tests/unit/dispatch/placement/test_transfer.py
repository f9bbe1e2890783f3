from dataclasses import replace

import pytest

from distconv.core.transfer import TransferMode
from distconv.dispatch.placement.transfer import TransferFacts, decide

FACTS = TransferFacts(container="matroska", size_bytes=10_000_000, scratch_free_bytes=50_000_000)
STREAMING, FILE = TransferMode.STREAMING, TransferMode.FILE


def test_what_must_seek_needs_files_whatever_is_asked() -> None:
    found = decide(replace(FACTS, container="avs", asked=STREAMING, scratch_free_bytes=0))
    assert (found.mode, found.required) == (FILE, True)
    assert "the job asks to be streamed, but 'avs' cannot be" in found.reason
    assert "up to 20 MB of the engine's scratch disk" in found.reason
    assert decide(replace(FACTS, needs_files=True)).required


def test_what_the_probe_found_is_the_reason() -> None:
    found = decide(replace(FACTS, container="mov", obstacle="its index is compressed", asked=FILE))
    assert (found.mode, found.required) == (FILE, True)
    assert found.reason.startswith("its index is compressed")


@pytest.mark.parametrize("container", ["mov", "matroska"])
def test_what_a_pipe_can_carry_is_streamed(container: str) -> None:
    found = decide(replace(FACTS, container=container))
    assert (found.mode, found.required) == (STREAMING, False)
    assert f"nothing keeps '{container}' from a pipe" in found.reason


def test_a_job_that_asks_for_files_goes_by_file_or_not_at_all() -> None:
    for free_bytes in (0, 50_000_000):
        found = decide(replace(FACTS, asked=FILE, scratch_free_bytes=free_bytes))
        assert (found.mode, found.required) == (FILE, True)
        assert found.reason == (
            "the job asks for it, which takes up to 20 MB of the engine's scratch disk"
        )


def test_by_default_files_go_where_there_is_room() -> None:
    by_file = replace(FACTS, default=FILE)
    roomy = decide(by_file)
    assert (roomy.mode, roomy.required) == (FILE, False)
    assert "the setting 'transfer'" in roomy.reason
    crowded = decide(replace(by_file, scratch_free_bytes=19_000_000))
    assert crowded.mode is STREAMING
    assert "up to 20 MB" in crowded.reason
    assert "19 MB are free" in crowded.reason


def test_what_a_job_asks_for_goes_before_the_default() -> None:
    found = decide(replace(FACTS, asked=STREAMING, default=FILE))
    assert (found.mode, found.reason) == (STREAMING, "the job asks for it")
    assert decide(replace(FACTS, asked=FILE, default=STREAMING)).mode is FILE
