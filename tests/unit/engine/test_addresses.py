"""Which server an engine connects to next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.engine.addresses import AddressBook

A, B, C = "a:1", "b:1", "c:1"


def book(*addresses: str, chance: float = 0.0) -> AddressBook:
    return AddressBook(addresses, pause_s=(0.2, 5.0), randomness=lambda: chance)


def test_it_stays_with_one_that_answers():
    known = book(A, B)
    known.answered()
    assert known.current == A


def test_the_next_is_tried_at_once_until_all_have_failed():
    known = book(A, B, C, chance=0.999)
    start = known.known
    assert [known.failed(), known.failed()] == [0.0, 0.0]
    assert known.failed() > 0
    assert known.known == start


def test_rounds_in_vain_wait_longer_up_to_the_bound():
    known = book(A, B, chance=0.999)
    pauses = [known.failed() for _ in range(40)]
    assert pauses[0] == 0.0
    assert pauses[1] == pytest.approx(0.2, rel=0.01)
    assert pauses[3] == pytest.approx(0.4, rel=0.01)
    assert max(pauses) == pytest.approx(5.0, rel=0.01)


def test_an_answer_begins_a_new_round():
    known = book(A, B)
    for _ in range(9):
        known.failed()
    known.answered()
    assert known.failed() == 0.0


def test_losing_a_session_waits_a_moment_although_another_is_known():
    known = book(A, B)
    known.answered()
    assert 0 < known.lost() <= 0.2
    assert known.current == B


def test_a_fleet_spreads_over_the_addresses():
    assert {book(A, B, C, chance=k / 10).current for k in range(10)} == {A, B, C}


def test_a_draining_server_is_left_for_those_it_names():
    known = book(A, B)
    known.answered()
    known.sent_to([C, A])
    known.lost()
    assert known.current == C
    assert known.known == (C, B, A)


def test_a_drain_that_names_only_itself_changes_nothing():
    known = book(A, B)
    known.sent_to([A])
    assert known.known == (A, B)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["failed", "lost", "answered"]),
            st.lists(st.integers(0, 40), max_size=30),
        ),
        max_size=40,
    )
)
def test_configured_addresses_are_never_forgotten_and_learned_ones_are_bounded(steps):
    known = book(A, B)
    for step in steps:
        if isinstance(step, list):
            known.sent_to([f"x:{n}" for n in step])
        else:
            getattr(known, step)()
        assert {A, B} <= set(known.known)
        assert len(set(known.known)) == len(known.known) <= 2 + 16 + 1


def test_no_address_is_a_mistake():
    with pytest.raises(ValueError, match="address"):
        book()
