from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

import wireshow
from distconv.v1 import dispatch_service_pb2, engine_pb2, object_pb2
from distconv.v1 import engine_service_pb2 as session_pb
from distconv.v1 import storage_service_pb2 as storage_pb

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvYmoiOiJ4In0.c2lnbmF0dXJl"  # made up
ATTEMPT = "jobs/1m80zh5km01y1nqv/tasks/1m80zh5km01y1aaa/attempts/1m80zh5km01y1bbb"


def test_a_token_is_never_shown_whole():
    access = object_pb2.MediaAccess(token=TOKEN, object="objects/1m80zh5km01y1nqv")
    text = wireshow.shown(dispatch_service_pb2.GrantMediaAccessResponse(access=access))
    assert TOKEN[:10] in text
    assert TOKEN[10:] not in text


def test_ids_are_shortened_and_stay_apart():
    text = wireshow.shown(session_pb.ResultAck(attempt=ATTEMPT, fencing_token=2))
    assert '"jobs/1m8…1nqv/tasks/1m8…1aaa/attempts/1m8…1bbb"' in text
    assert '"fencing_token": 2' in text


def test_bytes_are_counted():
    chunk = object_pb2.Chunk(offset=5, data=b"x" * 1000, crc32c=7)
    assert '"(1,000 bytes)"' in wireshow.shown(storage_pb.WriteRequest(chunk=chunk))


def test_folders_and_the_machine_are_left_out():
    outcome = session_pb.TranscodeOutcome(argv=["/opt/some/where/ffmpeg", "-i", "pipe:0"])
    assert '["…/ffmpeg", "-i", "pipe:0"]' in wireshow.shown(outcome)
    machine = engine_pb2.EngineCapabilities(cpu_model="Secret 9000")
    assert "Secret" not in wireshow.shown(machine)


def test_a_long_list_says_how_many_more_there_are():
    tool = engine_pb2.TranscoderInfo(encoders=[f"e{k}" for k in range(10)])
    assert '["e0", "e1", "e2", "e3", "… 6 more"]' in wireshow.shown(tool)


def test_a_status_is_shown_with_the_name_of_its_code_and_its_details():
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="OUT_OF_RANGE", metadata={"size_bytes": "12"}))
    text = wireshow.shown(status_pb2.Status(code=11, message="too far", details=[detail]))
    assert '"code": "OUT_OF_RANGE"' in text
    assert '"reason": "OUT_OF_RANGE"' in text
    assert '"size_bytes": "12"' in text
