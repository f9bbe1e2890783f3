import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.errors import DataLossError
from distconv.core.media import Chapter, StreamKind
from distconv.core.profile import Container
from distconv.media.finish import (
    FinishSpec,
    FinishStream,
    Picture,
    Trailer,
    read_trailer,
    trailer,
)
from distconv.media.structure.boxes import parse_header
from distconv.media.structure.ebml import parse_element

SPEC = FinishSpec(
    container=Container.MP4,
    streams=(
        FinishStream(kind=StreamKind.VIDEO, dispositions=("default",)),
        FinishStream(kind=StreamKind.AUDIO, language="deu", title="Größe = 1; 'x'\n"),
    ),
    chapters=(Chapter(start_time_s=0.0, end_time_s=1.5, title="Eins"),),
    pictures=(Picture(codec="png", data=bytes(range(256))),),
)


def test_json_there_and_back() -> None:
    assert FinishSpec.from_json(SPEC.to_json()) == SPEC


@given(st.text())
def test_any_text_raises_data_loss_at_most(text: str) -> None:
    with pytest.raises(DataLossError):
        FinishSpec.from_json(text)


@pytest.mark.parametrize("container", list(Container))
def test_the_end_of_a_stream_is_read_back(tmp_path: Path, container: Container) -> None:
    spec = FinishSpec(container=container, streams=SPEC.streams, pictures=SPEC.pictures)
    path = tmp_path / "wire"
    path.write_bytes(bytes(1000) + trailer(spec))
    assert read_trailer(path) == Trailer(spec=spec, media_bytes=1000)


def test_the_trailer_of_an_mp4_is_one_box() -> None:
    data = trailer(SPEC)
    box = parse_header(data, 0, len(data))
    assert box is not None
    assert (box.kind, box.end) == (b"uuid", len(data))


def test_the_trailer_of_a_matroska_is_one_void() -> None:
    data = trailer(FinishSpec(container=Container.MKV, streams=()))
    element = parse_element(data, 0, 0)
    assert element is not None
    assert (element.id, element.end) == (0xEC, len(data))


@pytest.mark.parametrize("data", [b"", b"x", bytes(5000)])
def test_a_file_without_a_trailer_has_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "wire"
    path.write_bytes(data)
    assert read_trailer(path) is None


@given(st.binary(min_size=4, max_size=4))
def test_a_damaged_length_is_data_loss(length: bytes) -> None:
    data = bytearray(bytes(100) + trailer(SPEC))
    if bytes(data[-20:-16]) == length:
        return
    data[-20:-16] = length
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "wire")
        path.write_bytes(data)
        with pytest.raises(DataLossError):
            read_trailer(path)


def test_an_option_cannot_be_smuggled_in_as_a_disposition() -> None:
    with pytest.raises(DataLossError):
        FinishSpec.from_json(SPEC.to_json().replace('"default"', '"default -y /etc/passwd"'))
