from dataclasses import replace
from datetime import UTC, datetime

from distconv.core.engine import EngineCapabilities, TranscoderInfo
from distconv.core.task_states import TaskKind, TaskState
from distconv.dispatch.placement import Offer, place, satisfied
from distconv.dispatch.store.records import TaskRecord

NOW = datetime(2030, 1, 1, tzinfo=UTC)
X264 = "encoder=libx264"


def offer(name: str, *encoders: str, slots: int = 1, free: int = 1) -> Offer:
    info = TranscoderInfo(name="ffmpeg", version="9", build_id="b", encoders=encoders)
    return Offer(
        engine_id=name,
        display_name=f"box {name}",
        capabilities=EngineCapabilities(transcoders=(info,)),
        slot_count=slots,
        free_slot_count=free,
    )


def task(name: str, requirement: str = "") -> TaskRecord:
    return TaskRecord(
        id=name,
        tenant="local",
        job_id="j",
        ordinal=0,
        kind=TaskKind.TRANSCODE,
        state=TaskState.READY,
        requirement=requirement,
        create_time=NOW,
        update_time=NOW,
    )


def test_tasks_go_in_order_while_slots_last() -> None:
    placed = place([task("1"), task("2"), task("3")], [offer("a"), offer("b")])
    assert [(p.task.id, p.engine_id) for p in placed] == [("1", "a"), ("2", "b")]


def test_a_task_goes_only_where_it_can_be_done() -> None:
    offers = [offer("a"), offer("b", "libx264")]
    assert [p.engine_id for p in place([task("1", X264)], offers)] == ["b"]
    assert satisfied(["", X264, "encoder=libx265"], offers) == ["", X264]


def test_one_that_fits_nowhere_holds_nobody_up() -> None:
    placed = place([task("1", X264), task("2")], [offer("a")])
    assert [p.task.id for p in placed] == ["2"]


def test_the_engine_that_probed_is_preferred() -> None:
    wanted = replace(task("1"), preferred_engine_id="b")
    (placed,) = place([wanted], [offer("a", slots=4, free=4), offer("b", slots=4)])
    assert placed.engine_id == "b"
    assert "probed" in placed.decision


def test_after_a_failure_another_engine_is_preferred_even_to_the_one_that_probed() -> None:
    failed = replace(task("1"), preferred_engine_id="a", avoided_engine_ids=("a",))
    (placed,) = place([failed], [offer("a"), offer("b")])
    assert placed.engine_id == "b"
    (alone,) = place([failed], [offer("a")])
    assert "although" in alone.decision


def test_the_least_busy_is_preferred() -> None:
    (placed,) = place([task("1")], [offer("a", slots=4, free=1), offer("b", slots=4, free=3)])
    assert placed.engine_id == "b"
