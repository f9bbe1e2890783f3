from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from distconv.core.engine import EngineCapabilities, TranscoderInfo
from distconv.core.profile import VideoCodec
from distconv.core.speeds import Basis, EngineSpeeds, Sample
from distconv.core.task_states import TaskKind, TaskState
from distconv.dispatch.placement.choice import Placed, Placement, PlacementPolicy, place
from distconv.dispatch.placement.matching import Matching, codec_of
from distconv.dispatch.placement.offer import Offer, satisfied
from distconv.dispatch.store.records import TaskRecord

NOW = datetime(2030, 1, 1, tzinfo=UTC)
X264 = "encoder=libx264"
POLICY = PlacementPolicy()


def offer(
    name: str,
    *encoders: str,
    slots: int = 1,
    free: int = 1,
    rate: float = 0.0,
    free_in_s: float | None = None,
    scratch: int = 0,
    scratch_free: int | None = None,
) -> Offer:
    info = TranscoderInfo(
        name="ffmpeg", version="9", build_id="b", encoders=encoders or ("libx264",)
    )
    capabilities = EngineCapabilities(transcoders=(info,), scratch_bytes=scratch)
    sample = Sample(
        codec=VideoCodec.H264, height_class=1080, units_per_s=rate, basis=Basis.BENCHMARK
    )
    return Offer(
        engine_id=name,
        display_name=f"box {name}",
        matching=Matching(capabilities, engine_id=name),
        slot_count=slots,
        free_slot_count=free,
        free_times=() if free_in_s is None else (NOW + timedelta(seconds=free_in_s),) * slots,
        speeds=EngineSpeeds((sample,) if rate else ()),
        scratch_free_bytes=scratch if scratch_free is None else scratch_free,
    )


def task(name: str, requirement: str = "", *, cost: float = 1.0) -> TaskRecord:
    return TaskRecord(
        id=name,
        tenant="local",
        job_id="j",
        ordinal=0,
        kind=TaskKind.TRANSCODE,
        state=TaskState.READY,
        requirement=requirement,
        cost=cost,
        height=1080,
        ready_time=NOW,
        create_time=NOW,
        update_time=NOW,
    )


def placed(
    tasks: list[TaskRecord], offers: list[Offer], *busy: Offer, now: datetime = NOW
) -> Placed:
    return place(tasks, offers, now=now, busy=lambda: busy, policy=POLICY)


def one(wanted: TaskRecord, *offers: Offer) -> Placement:
    (found,) = placed([wanted], list(offers)).placements
    return found


def test_tasks_go_in_order_while_slots_last() -> None:
    found = placed([task("1"), task("2"), task("3")], [offer("a"), offer("b")]).placements
    assert [(p.task.id, p.engine_id) for p in found] == [("1", "a"), ("2", "b")]


def test_a_task_goes_only_where_it_can_be_done() -> None:
    offers = [offer("a", "libx265"), offer("b", "libx264")]
    assert one(task("1", X264), *offers).engine_id == "b"
    assert satisfied(["", X264, "encoder=libsvtav1"], offers) == ["", X264]
    assert one(task("1", "engine=b"), *offers).engine_id == "b"


def test_one_that_fits_nowhere_holds_nobody_up() -> None:
    found = placed([task("1", "encoder=none"), task("2")], [offer("a")]).placements
    assert [p.task.id for p in found] == ["2"]


def test_the_engine_that_probed_is_preferred() -> None:
    wanted = replace(task("1"), preferred_engine_id="b")
    found = one(wanted, offer("a", slots=4, free=4), offer("b", slots=4))
    assert found.engine_id == "b"
    assert "probed" in found.decision


def test_the_least_busy_is_preferred_among_equals() -> None:
    found = one(task("1"), offer("a", slots=4, free=1), offer("b", slots=4, free=3))
    assert found.engine_id == "b"
    assert found.decision == "box b (b): the least busy of 2 engines with a free slot that meet it"
    assert found.estimate is None


def test_it_goes_where_it_is_done_soonest() -> None:
    wanted = replace(task("1", X264, cost=3000), preferred_engine_id="a")
    found = one(wanted, offer("a", rate=10), offer("b", rate=100))
    assert found.engine_id == "b"
    assert found.estimate == timedelta(seconds=30)
    assert found.decision.endswith("that meet it; about 30 s by its benchmark")
    assert "done soonest of 2 engines" in found.decision


def test_somebody_elses_load_slows_an_engine() -> None:
    loaded = replace(offer("a", rate=100), foreign_load=0.9)
    assert one(task("1", X264, cost=3000), loaded, offer("b", rate=70)).engine_id == "b"


def test_a_large_task_is_held_back_for_a_faster_engine() -> None:
    wanted = task("1", X264, cost=10_000)
    fast = offer("fast", free=0, rate=100, free_in_s=60)
    found = placed([wanted, task("2", X264)], [offer("slow", rate=10)], fast)
    assert [p.task.id for p in found.placements] == ["2"]
    (hold,) = found.holds
    assert (hold.task_id, hold.engine_id, hold.until) == ("1", "fast", NOW + timedelta(seconds=60))
    assert hold.reason.startswith("held back for box fast (fast), which is expected to be free at")


def test_only_as_many_are_held_back_as_it_pays_for() -> None:
    fast = offer("fast", free=0, rate=100, free_in_s=60)
    large = [task(str(k), X264, cost=10_000) for k in range(30)]
    found = placed(large, [offer("slow", rate=10)], fast)
    # 60 s, then 100 s each at "fast", against 1000 s at "slow", less a tenth of that.
    assert [p.task.id for p in found.placements] == ["8"]
    assert len(found.holds) == 8


def test_nothing_is_held_back_for_long_or_on_a_guess() -> None:
    wanted = task("1", X264, cost=10_000)
    slow, fast = offer("slow", rate=10), offer("fast", free=0, rate=100, free_in_s=60)
    later = NOW + POLICY.hold_max
    assert placed([wanted], [slow], fast, now=later).placements
    unmeasured = offer("fast", free=0, free_in_s=1)
    assert placed([wanted], [slow], unmeasured).placements
    assert placed([wanted], [slow], replace(fast, free_times=())).placements
    assert placed([task("1", X264, cost=200)], [slow], fast).placements


def test_after_a_failure_it_waits_for_another_engine_for_a_while() -> None:
    failed = replace(task("1"), preferred_engine_id="a", avoided_engine_ids=("a",))
    found = one(failed, offer("a"), offer("b"))
    assert found.engine_id == "b"
    assert "an attempt failed elsewhere" in found.decision
    (hold,) = placed([failed], [offer("a")], offer("b", free=0)).holds
    assert "an attempt at it failed there; held back for another" in hold.reason
    assert "although" in one(failed, offer("a")).decision
    late = placed([failed], [offer("a")], offer("b", free=0), now=NOW + POLICY.hold_max)
    assert [p.engine_id for p in late.placements] == ["a"]


def test_a_black_hole_draws_no_work_while_others_can_do_it() -> None:
    hole = replace(
        offer("hole"), resort_time=NOW + timedelta(minutes=1), resort_reason="3 attempts failed"
    )
    jobs = [task(str(k)) for k in range(5)]
    found = placed(jobs, [hole], offer("good", free=0))
    assert not found.placements
    assert len(found.holds) == 5
    assert len(placed(jobs, [hole]).placements) == 1


def test_one_short_of_memory_is_a_last_resort() -> None:
    small = replace(offer("a"), memory_bytes=1 << 30, memory_used_bytes=1 << 30)
    wanted = task("1", X264)
    assert one(wanted, small, offer("b")).engine_id == "b"
    assert "memory" in one(wanted, small).decision


ENGINES = st.lists(
    st.builds(
        lambda k, slots, used, rate, soon: offer(
            f"e{k}", slots=slots, free=max(slots - used, 0), rate=rate, free_in_s=soon
        ),
        st.integers(0, 1000),
        st.integers(1, 4),
        st.integers(0, 4),
        st.sampled_from([0.0, 5.0, 50.0, 500.0]),
        st.floats(0.0, 1000.0),
    ),
    max_size=8,
    unique_by=lambda o: o.engine_id,
)
TASKS = st.lists(
    st.tuples(
        st.floats(1.0, 1e5),
        st.sampled_from(["", X264, "encoder=libx265"]),
        st.integers(0, 1000),
        st.lists(st.sampled_from(["e1", "e2"]), unique=True),
    ),
    max_size=20,
)


@given(ENGINES, TASKS)
def test_no_slot_is_given_twice_and_nobody_is_passed_over_for_nothing(
    engines: list[Offer], rows: list[tuple[float, str, int, list[str]]]
) -> None:
    tasks = [
        replace(
            task(f"t{k}", key, cost=cost),
            ready_time=NOW - timedelta(seconds=waited),
            avoided_engine_ids=tuple(avoided),
        )
        for k, (cost, key, waited, avoided) in enumerate(rows)
    ]
    free = [e for e in engines if e.free_slot_count]
    found = placed(tasks, free, *(e for e in engines if not e.free_slot_count))
    left = {e.engine_id: e.free_slot_count for e in free}
    for placement in found.placements:
        left[placement.engine_id] -= 1
        assert left[placement.engine_id] >= 0
        assert placement.decision
    settled = {p.task.id for p in found.placements} | {h.task_id for h in found.holds}
    assert len(settled) == len(found.placements) + len(found.holds)
    open_engines = [e for e in free if left[e.engine_id]]
    for waiting in tasks:
        if waiting.id not in settled:
            assert all(e.matching.missing(waiting.requirement) for e in open_engines)
    for hold in found.holds:
        held = next(t for t in tasks if t.id == hold.task_id)
        assert held.ready_time is not None
        assert NOW - held.ready_time < POLICY.hold_max
        assert hold.until >= NOW


def test_a_requirement_names_its_codec() -> None:
    assert codec_of("encoder=aac encoder=libx265 muxer=mp4") is VideoCodec.HEVC
    assert codec_of("encoder=aac muxer=mp4") is None


def test_files_go_only_where_there_is_room_for_them_now() -> None:
    offers = [offer("a", scratch=99), offer("b", scratch=200, scratch_free=99)]
    assert not placed([task("1", "scratch=100")], offers).placements
    assert one(task("1", "scratch=100"), *offers, offer("c", scratch=100)).engine_id == "c"
    assert one(task("1"), *offers)


def test_what_one_file_takes_no_other_is_given() -> None:
    files = [task(name, "scratch=100") for name in "123"]
    streamed = task("4")
    found = placed([*files, streamed], [offer("a", slots=4, free=4, scratch=250)]).placements
    assert [p.task.id for p in found] == ["1", "2", "4"]
    assert [p.scratch_free_bytes for p in found] == [250, 150, 50]


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 600)), min_size=1, max_size=5),
)
def test_no_engine_is_given_more_files_than_fit(
    wants: list[int], engines: list[tuple[int, int]]
) -> None:
    tasks = [task(str(k), f"scratch={want}" if want else "") for k, want in enumerate(wants)]
    offers = [
        offer(f"e{k}", slots=slots, free=slots, scratch=scratch)
        for k, (slots, scratch) in enumerate(engines)
    ]
    given_to: dict[str, int] = {}
    for placement in placed(tasks, offers).placements:
        want = wants[int(placement.task.id)]
        given_to[placement.engine_id] = given_to.get(placement.engine_id, 0) + want
    room = {o.engine_id: o.scratch_free_bytes for o in offers}
    assert all(taken <= room[engine] for engine, taken in given_to.items())
