from dataclasses import replace

from distconv.core.transfer import TransferMode
from distconv.dispatch.placement.transfer import TransferFacts, decide

FACTS = TransferFacts(container="matroska", size_bytes=10_000_000, scratch_free_bytes=50_000_000)
STREAMING, FILE = TransferMode.STREAMING, TransferMode.FILE


def test_what_must_seek_needs_files_whatever_is_asked() -> None:
    found = decide(replace(FACTS, container="avs", asked=STREAMING, scratch_free_bytes=0))
    assert (found.mode, found.required) == (FILE, True)
    assert "up to 20 MB of scratch disk" in found.reason
    assert decide(replace(FACTS, needs_files=True)).required


def test_what_the_probe_found_is_the_reason() -> None:
    found = decide(replace(FACTS, container="mov", obstacle="its index is compressed"))
    assert (found.mode, found.required) == (FILE, True)
    assert "its index is compressed" in found.reason


def test_mp4_is_laid_out_anew() -> None:
    assert decide(replace(FACTS, container="mov")).mode is STREAMING


def test_what_is_asked_is_done_where_there_is_room() -> None:
    assert decide(replace(FACTS, asked=FILE)).mode is FILE
    crowded = decide(replace(FACTS, asked=FILE, scratch_free_bytes=19_000_000))
    assert crowded.mode is STREAMING
    assert "up to 20 MB" in crowded.reason
    assert "19 MB are free" in crowded.reason


def test_without_the_disk_for_it_it_is_streamed() -> None:
    slow = replace(FACTS, link_rate=1e6, encoder_rate=1e7)
    assert decide(replace(slow, scratch_free_bytes=5_000_000)).mode is STREAMING
    assert decide(slow).mode is FILE
    assert not decide(slow).required
    assert decide(replace(slow, asked=STREAMING)).mode is STREAMING


def test_the_encoder_never_waits_for_a_fast_link() -> None:
    fast = decide(replace(FACTS, link_rate=1e7, encoder_rate=1e6))
    assert fast.mode is STREAMING
    assert "10 MB/s" in fast.reason
    assert decide(FACTS).mode is STREAMING
