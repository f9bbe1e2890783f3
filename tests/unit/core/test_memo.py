import pytest

from distconv.core.memo import ByIdentity


def test_the_same_object_is_computed_once_and_an_equal_one_anew():
    calls = []

    def count(*values):
        calls.append(values)
        return len(calls)

    remembered = ByIdentity(count)
    one, other = {"a": 1}, {"a": 1}
    assert [remembered(one), remembered(one), remembered(other), remembered(one, other)] == [
        1,
        1,
        2,
        3,
    ]
    assert len(calls) == 3


def test_only_the_last_are_kept():
    calls: list[list[int]] = []
    remembered = ByIdentity(calls.append, size=2)
    values = [[k] for k in range(3)]
    for value in [*values, values[2], values[0]]:
        remembered(value)
    assert calls == [*values, values[0]]


def test_what_raises_is_not_remembered():
    calls = []

    def fail_once(value):
        calls.append(value)
        if len(calls) == 1:
            raise ValueError("no")
        return "yes"

    remembered = ByIdentity(fail_once)
    value = object()
    with pytest.raises(ValueError, match="no"):
        remembered(value)
    assert remembered(value) == "yes"
