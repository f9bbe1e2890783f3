from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.errors import InvalidArgumentError
from distconv.events.event import CloudEvent, from_headers, to_headers
from distconv.events.filter import EventFilter
from distconv.events.names import token, topic_matches
from distconv.events.nats_subjects import event_subject, filter_subject

texts = st.text(min_size=1, max_size=40).filter(str.isprintable)
words = st.from_regex(r"[A-Z][A-Za-z]{0,20}", fullmatch=True)


@st.composite
def events(draw: st.DrawFn) -> CloudEvent:
    resource = draw(texts.filter(lambda t: not any(c == "/" or c.isspace() for c in t)))
    return CloudEvent(
        id=draw(texts),
        source=draw(texts),
        type="distconv.v1." + draw(words),
        subject=f"jobs/{resource}",
        time=draw(st.datetimes(timezones=st.just(UTC))),
        tenant=draw(texts),
        sequence=draw(st.integers(0, (1 << 63) - 1)),
        data=draw(st.binary(max_size=100)),
    )


def sample(**fields: object) -> CloudEvent:
    values: dict[str, object] = {
        "id": "1",
        "source": "/distconv/dispatch",
        "type": "distconv.v1.JobCreated",
        "subject": "jobs/a",
        "time": datetime(2030, 1, 1, tzinfo=UTC),
        "tenant": "local",
        "sequence": 7,
        "data": b"",
    }
    return CloudEvent(**(values | fields))  # type: ignore[arg-type]


@given(events())
def test_headers_are_ascii_and_give_the_event_back(event: CloudEvent):
    headers = to_headers(event)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert from_headers(headers, event.data) == event
    upper = {name.upper(): value for name, value in headers.items()}
    assert from_headers(upper, event.data) == event


@given(events())
def test_every_filter_that_matches_covers_the_subject(event: CloudEvent):
    subject = event_subject("distconv", event)
    assert subject.count(".") == 5
    assert subject.isascii()
    for want in (
        EventFilter(),
        EventFilter(names=frozenset({event.name})),
        EventFilter(tenant=event.tenant, collection="jobs"),
        EventFilter(subject=event.subject),
    ):
        assert want.matches(event)
        assert topic_matches(filter_subject("distconv", want), subject)


def test_a_whole_event_in_binary_mode():
    east = timezone(timedelta(hours=2))
    event = sample(time=datetime(2030, 1, 1, 2, tzinfo=east), tenant="träge")
    assert to_headers(event) == {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/distconv/dispatch",
        "ce-type": "distconv.v1.JobCreated",
        "ce-subject": "jobs/a",
        "ce-time": "2030-01-01T00:00:00Z",
        "ce-tenant": "tr%C3%A4ge",
        "ce-sequence": "0000000000000000007",
        "content-type": "application/protobuf",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""},
        {"tenant": "x" * 300},
        {"type": "no spaces"},
        {"subject": "jobs"},
        {"subject": "jobs/a/b"},
        {"time": datetime(2030, 1, 1)},  # noqa: DTZ001  # what is refused
        {"sequence": -1},
        {"source": "a\nb"},
    ],
)
def test_what_is_not_well_formed_is_named(fields: dict[str, object]):
    with pytest.raises(InvalidArgumentError) as caught:
        sample(**fields)
    assert caught.value.field == next(iter(fields))


@pytest.mark.parametrize("missing", ["ce-id", "ce-type", "ce-specversion", "ce-sequence"])
def test_a_message_that_is_no_event_is_refused(missing: str):
    headers = to_headers(sample())
    del headers[missing]
    with pytest.raises(InvalidArgumentError):
        from_headers(headers, b"")


@pytest.mark.parametrize(
    "wrong", [{"ce-specversion": "2.0"}, {"ce-time": "now"}, {"ce-sequence": "x"}]
)
def test_headers_that_cannot_be_read_are_refused(wrong: dict[str, str]):
    with pytest.raises(InvalidArgumentError):
        from_headers(to_headers(sample()) | wrong, b"")


@given(st.text(min_size=1), st.text(min_size=1))
def test_tokens_are_distinct_words(one: str, two: str):
    assert (token(one) == token(two)) == (one == two)
    assert not set(token(one)) & set(".*> ")
