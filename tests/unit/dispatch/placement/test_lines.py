"""Lines merge by urgency and age, and by rank within; nobody starves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from distconv.core.task_states import TaskKind, TaskState
from distconv.core.urgency import UrgencyPolicy, aged
from distconv.dispatch.placement.lines import merged
from distconv.dispatch.store.records import TaskRecord

NOW = datetime(2030, 1, 1, tzinfo=UTC)
POLICY = UrgencyPolicy()
PLAIN = TaskRecord(
    id="",
    tenant="local",
    job_id="j",
    ordinal=0,
    kind=TaskKind.TRANSCODE,
    state=TaskState.READY,
    create_time=NOW,
    update_time=NOW,
)


def task(name: str, requirement: str, urgency: int, rank: float, waited_s: float) -> TaskRecord:
    return replace(
        PLAIN,
        id=name,
        requirement=requirement,
        urgency=urgency,
        rank=rank,
        ready_time=NOW - timedelta(seconds=waited_s),
    )


def order(tasks: list[TaskRecord], now: datetime = NOW) -> list[str]:
    heads = sorted(tasks, key=lambda t: (t.requirement, t.urgency, t.rank, t.id))
    return [t.id for t in merged(heads, policy=POLICY, now=now)]


def test_urgency_goes_first_then_rank_across_requirements() -> None:
    tasks = [task("a", "x", 0, 5, 0), task("b", "y", 0, 3, 0), task("c", "y", 1, 9, 0)]
    assert order(tasks) == ["c", "b", "a"]


def test_an_old_line_rises_as_a_whole_and_keeps_its_order() -> None:
    old = [task(f"o{k}", "x", 0, k, 6600) for k in range(3)]
    young = [task(f"y{k}", "x", 10, k, 0) for k in range(3)]
    assert order([*old, *young]) == ["o0", "o1", "o2", "y0", "y1", "y2"]
    assert order([*old, *young], NOW - timedelta(seconds=6000)) == [
        "y0", "y1", "y2", "o0", "o1", "o2",
    ]  # fmt: skip


ROWS = st.lists(
    st.tuples(st.sampled_from("xy"), st.integers(-3, 3), st.floats(0, 100), st.floats(0, 5000)),
    max_size=40,
)


@given(ROWS)
def test_every_head_comes_once_and_the_first_is_the_most_urgent(
    rows: list[tuple[str, int, float, float]],
) -> None:
    tasks = [task(f"{k:02}", *row) for k, row in enumerate(rows)]
    found = order(tasks)
    assert sorted(found) == [t.id for t in tasks]
    by_id = {t.id: t for t in tasks}
    for requirement in "xy":
        for level in range(-3, 4):
            line = [
                by_id[i]
                for i in found
                if (by_id[i].requirement, by_id[i].urgency) == (requirement, level)
            ]
            assert line == sorted(line, key=lambda t: (t.rank, t.id))
    if found:
        heads: dict[tuple[str, int], TaskRecord] = {}
        for t in sorted(tasks, key=lambda t: (t.rank, t.id)):
            heads.setdefault((t.requirement, t.urgency), t)

        def effective(t: TaskRecord) -> int:
            assert t.ready_time is not None
            return aged(POLICY, urgency=t.urgency, ready_time=t.ready_time, now=NOW)

        assert effective(by_id[found[0]]) == max(effective(t) for t in heads.values())


def test_nobody_starves_below_a_stream_of_urgent_work() -> None:
    low = task("low", "x", 0, 0.0, 0)
    now = NOW
    for k in range(1000):
        now += timedelta(seconds=60)
        fresh = replace(task(f"h{k}", "x", 50, float(k), 0), ready_time=now)
        if order([low, fresh], now)[0] == "low":
            break
    assert now - NOW <= POLICY.ageing_unit * 51
