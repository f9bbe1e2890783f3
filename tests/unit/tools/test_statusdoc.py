import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

import statusdoc
from distconv.dispatch.unserved import UNSERVED_METHODS
from distconv.v1 import dispatch_service_pb2, engine_service_pb2, storage_service_pb2


@pytest.fixture
def descriptors() -> bytes:
    """What protoc writes, without the comments: those are not in the generated modules."""
    found = FileDescriptorSet()
    for module in (dispatch_service_pb2, engine_service_pb2, storage_service_pb2):
        file = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        found.file.append(file)
    return found.SerializeToString()


def test_every_unserved_method_has_its_row(descriptors: bytes):
    page = statusdoc.status(descriptors)
    rows = [line for line in page.splitlines() if line.startswith("| [")]
    assert len(rows) == len(UNSERVED_METHODS)
    assert any("[EngineService.RegisterEngine](protocol-reference.md#" in row for row in rows)


def test_a_field_that_is_not_served_has_its_row_too(descriptors: bytes, monkeypatch):
    monkeypatch.setattr(statusdoc, "UNSERVED_METHODS", ("distconv.v1.StorageService.Read.follow",))
    page = statusdoc.status(descriptors)
    assert "| [StorageService.Read with `follow`](protocol-reference.md#" in page


def test_the_hand_written_part_survives(descriptors: bytes):
    template = statusdoc.TEMPLATE.read_text(encoding="utf-8")
    page = statusdoc.status(descriptors)
    before, after = template.split("{{ unserved methods }}")
    assert page.startswith(before)
    assert page.endswith(after)


def test_the_first_sentence_of_the_comment_says_what_a_method_is_to_do(descriptors: bytes):
    parsed = FileDescriptorSet.FromString(descriptors)
    file = next(f for f in parsed.file if f.name.endswith("engine_service.proto"))
    method = [m.name for m in file.service[0].method].index("RegisterEngine")
    at = file.source_code_info.location.add(path=(6, 0, 2, method))
    at.leading_comments = " Make an engine\n known. And more.\n"
    page = statusdoc.status(parsed.SerializeToString())
    assert "| make an engine known |" in page


def test_a_template_without_its_mark_is_refused(descriptors: bytes, tmp_path, monkeypatch):
    template = tmp_path / "status.md"
    template.write_text("nothing\n")
    monkeypatch.setattr(statusdoc, "TEMPLATE", template)
    with pytest.raises(ValueError, match="holds the mark"):
        statusdoc.status(descriptors)
