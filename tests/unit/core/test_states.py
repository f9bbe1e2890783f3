"""The tables of jobs, tasks and attempts: every sequence of events stays legal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from distconv.core import attempt_states, states, task_states
from distconv.core.attempt_states import AttemptEvent, AttemptState
from distconv.core.errors import IllegalTransitionError
from distconv.core.states import Command, JobEvent, JobState
from distconv.core.task_states import TaskEvent, TaskState


def test_every_job_state_can_be_reached_and_left_but_completed() -> None:
    reached = {t.state for t in states.TABLE.values()}
    left = {state for state, _ in states.TABLE}
    assert reached == set(JobState)
    assert set(JobState) - left == {JobState.COMPLETED}


def test_only_a_retry_by_hand_leads_out_of_an_end() -> None:
    for state, event in states.TABLE:
        if state.is_terminal:
            assert event is JobEvent.RETRY


def test_only_an_accepted_result_publishes() -> None:
    for (_, event), transition in states.TABLE.items():
        publishes = Command.PUBLISH in transition.commands
        assert publishes == (event is JobEvent.RESULT_ACCEPTED)
        assert (transition.state is JobState.COMPLETED) == publishes


def test_what_ends_running_work_discards_its_output() -> None:
    for transition in states.TABLE.values():
        if Command.STOP_ATTEMPT in transition.commands:
            assert Command.DISCARD_OUTPUT in transition.commands


def test_an_illegal_move_tells_where_the_job_came_from() -> None:
    with pytest.raises(IllegalTransitionError, match="PENDING → ASSIGNED → COMPLETED"):
        states.apply(
            JobState.COMPLETED,
            JobEvent.CANCEL,
            history=[JobState.PENDING, JobState.ASSIGNED],
        )


class JobLife(RuleBasedStateMachine):
    """A job that is told anything at any time."""

    @initialize()
    def create(self) -> None:
        self.state = JobState.PENDING
        self.published = 0

    @rule(event=st.sampled_from(JobEvent))
    def tell(self, event: JobEvent) -> None:
        before = self.state
        try:
            transition = states.apply(before, event)
        except IllegalTransitionError:
            assert (before, event) not in states.TABLE
            return
        self.state = transition.state
        self.published += Command.PUBLISH in transition.commands
        if before.is_terminal:
            assert event is JobEvent.RETRY

    @invariant()
    def at_most_one_output(self) -> None:
        assert getattr(self, "published", 0) <= 1


TestJobLife = JobLife.TestCase


@settings(deadline=None)
@given(st.lists(st.sampled_from(TaskEvent)))
def test_a_task_that_has_ended_stays_so_unless_it_is_retried(events: list[TaskEvent]) -> None:
    state = TaskState.BLOCKED
    for event in events:
        try:
            after = task_states.apply(state, event)
        except IllegalTransitionError:
            continue
        assert event is TaskEvent.REVIVED or not state.is_terminal
        assert state is not TaskState.SUCCEEDED
        state = after


def test_whatever_a_task_waits_for_its_job_can_be_held() -> None:
    for state in TaskState:
        if not state.is_terminal:
            assert task_states.apply(state, TaskEvent.HELD) is TaskState.BLOCKED


@settings(deadline=None)
@given(st.lists(st.sampled_from(AttemptEvent)))
def test_an_attempt_ends_once(events: list[AttemptEvent]) -> None:
    state = AttemptState.ASSIGNED
    ends = 0
    for event in events:
        try:
            after = attempt_states.apply(state, event)
        except IllegalTransitionError:
            continue
        assert state.is_live
        ends += not after.is_live
        state = after
    assert ends <= 1


def test_every_live_attempt_can_end_in_every_way() -> None:
    ends = set(AttemptState) - attempt_states.LIVE
    for live in attempt_states.LIVE:
        assert {s for (a, _), s in attempt_states.TABLE.items() if a is live} >= ends
