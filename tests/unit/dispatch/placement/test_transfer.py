from dataclasses import replace

from distconv.dispatch.placement.transfer import TransferFacts, TransferMode, as_served, decide

FACTS = TransferFacts(container="matroska", size_bytes=10_000_000)
STREAMING, FILE = TransferMode.STREAMING, TransferMode.FILE


def test_what_must_seek_needs_files_whatever_is_asked() -> None:
    found = decide(replace(FACTS, container="avs", asked=STREAMING))
    assert (found.mode, found.required) == (FILE, True)
    assert "needs 10 MB of scratch disk" in found.reason
    assert as_served(found) == found
    assert decide(replace(FACTS, needs_files=True)).required


def test_mp4_is_laid_out_anew() -> None:
    assert decide(replace(FACTS, container="mov")).mode is STREAMING


def test_what_is_asked_is_done() -> None:
    assert decide(replace(FACTS, asked=FILE)).mode is FILE
    assert "not served yet" in as_served(decide(replace(FACTS, asked=FILE))).reason


def test_without_the_disk_for_it_it_is_streamed() -> None:
    slow = replace(FACTS, link_rate=1e6, encoder_rate=1e7)
    assert decide(replace(slow, scratch_free_bytes=5_000_000)).mode is STREAMING
    assert decide(replace(slow, scratch_free_bytes=50_000_000)).mode is FILE


def test_the_encoder_never_waits_for_a_fast_link() -> None:
    fast = decide(replace(FACTS, link_rate=1e7, encoder_rate=1e6))
    assert fast.mode is STREAMING
    assert "10 MB/s" in fast.reason
    assert decide(FACTS).mode is STREAMING
    assert as_served(fast) == fast
