"""A repeated request is known by what it asks for, in every release."""

import dataclasses
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from distconv.core.profile import (
    AudioCodec,
    AudioSettings,
    Container,
    Profile,
    VideoCodec,
    VideoSettings,
)
from distconv.core.transfer import TransferMode
from distconv.dispatch.steering.order import JobOrder
from distconv.dispatch.steering.request_digest import digest

SMALL = JobOrder(source_object="objects/o", source_file_name="f.mp4", profile="profiles/h264-480p")
LARGE = JobOrder(
    source_object="objects/o",
    source_file_name="Ferien – Süden.mkv",
    profile_spec=Profile(
        name="own",
        description="",
        container=Container.MKV,
        video=VideoSettings(codec=VideoCodec.HEVC, crf=23.5, ten_bit=False),
        audio=AudioSettings(codec=AudioCodec.OPUS),
    ),
    container=Container.WEBM,
    priority=-3,
    deadline=datetime(2030, 1, 1, 12, 0, 0, 5, tzinfo=UTC),
    ttl=timedelta(hours=1, microseconds=1),
    max_retries=0,
    labels={"b": "2", "a": "1"},
    engine_tags=("x", "y"),
)


def test_digests_stay_as_they_were() -> None:
    # As stored by fleets: what changes these makes repeated requests be refused.
    assert digest(SMALL) == "74517ef9e8c617c0aafd616978c14b885f2afefa3f5e5f9bf295560775863aac"
    assert digest(LARGE) == "a7b8978833366d8993f5748edfdfe230ee31c6b71631daba84e5fcd2ca889a8c"


def test_a_field_that_is_added_and_not_set_changes_nothing() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Later(JobOrder):
        colour: str = ""

    values = {field.name: getattr(LARGE, field.name) for field in dataclasses.fields(LARGE)}
    assert digest(Later(**values)) == digest(LARGE)
    assert digest(Later(**values, colour="red")) != digest(LARGE)


def test_what_is_the_same_has_the_same_digest() -> None:
    there = LARGE.deadline.astimezone(timezone(timedelta(hours=2))) if LARGE.deadline else None
    same = replace(LARGE, request_id="r", labels={"a": "1", "b": "2"}, deadline=there)
    assert digest(same) == digest(LARGE)


@pytest.mark.parametrize(
    "other",
    [
        replace(LARGE, max_retries=None),
        replace(LARGE, priority=0),
        replace(LARGE, container=None),
        replace(LARGE, labels={"a": "1"}),
        replace(LARGE, engine_tags=("y", "x")),
        replace(LARGE, validate_only=True),
        replace(LARGE, profile_spec=None),
        replace(LARGE, transfer_mode=TransferMode.STREAMING),
    ],
)
def test_what_differs_has_another(other: JobOrder) -> None:
    assert digest(other) != digest(LARGE)
