import math
from datetime import UTC, datetime

import pytest

from distconv.core.errors import DamagedObjectError
from distconv.core.media import (
    Chapter,
    MasteringDisplay,
    MediaCensus,
    MediaInfo,
    StreamCensus,
    StreamInfo,
    StreamKind,
)
from distconv.core.profile import Container
from distconv.storage.records import (
    Finished,
    ObjectRecord,
    UploadRecord,
    dump,
    load_object,
    load_upload,
)

NOW = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
UPLOAD = UploadRecord(
    nonce="0123456789ab",
    object_id="0abc",
    tenant="local",
    size_bytes=5,
    create_time=NOW,
    container=Container.MKV,
)


def test_an_upload_survives_writing_down() -> None:
    assert load_upload(dump(UPLOAD), key="k") == UPLOAD


def test_an_object_with_its_report_survives_writing_down() -> None:
    display = MasteringDisplay(
        red=(0.1, 0.2),
        green=(0.3, 0.4),
        blue=(0.5, 0.6),
        white_point=(0.7, 0.8),
        min_luminance=0.0,
        max_luminance=math.inf,
    )
    media = MediaInfo(
        container="matroska",
        size_bytes=9,
        duration_s=None,
        bit_rate=1,
        streams=(
            StreamInfo(index=0, kind=StreamKind.VIDEO, codec="av1", mastering_display=display),
        ),
        chapters=(Chapter(start_time_s=0.0, end_time_s=1.5, title="Ein Täg\n"),),
        tags={"title": "☃"},
    )
    counted = StreamCensus(
        index=0,
        kind=StreamKind.VIDEO,
        codec="av1",
        packet_count=3,
        packet_bytes=4,
        first_time_s=None,
        end_time_s=2.0,
    )
    census = MediaCensus(container="matroska", read_bytes=9, streams=(counted,), complete=True)
    record = ObjectRecord(
        object_id="0abc",
        tenant="local",
        nonce="0123456789ab",
        size_bytes=9,
        sha256="a" * 64,
        received_size_bytes=8,
        received_sha256="b" * 64,
        create_time=NOW,
        commit_time=NOW,
        finished=Finished(media=media, census=census),
    )
    assert load_object(dump(record), key="k") == record


@pytest.mark.parametrize("damaged", [b"", b"{", b"{}", b"[]", b"\xff", dump(UPLOAD)[:-9]])
def test_a_damaged_record_says_which(damaged: bytes) -> None:
    with pytest.raises(DamagedObjectError, match="its record local/objects/0abc cannot be read"):
        load_object(damaged, key="local/objects/0abc")
