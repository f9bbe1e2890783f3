from hypothesis import given
from hypothesis import strategies as st

from distconv.client.new_job import MAX_BATCH, NewJob, batches
from distconv.core.profile import Container
from distconv.core.transfer import TransferMode
from distconv.v1 import job_pb2

_SOURCE = "objects/01k9x0000000000a"


def _job(name: str = "a.mkv") -> NewJob:
    return NewJob(source=_SOURCE, profile="h264", file_name=name)


def test_a_request_carries_what_was_said() -> None:
    new = NewJob(
        source=_SOURCE, profile="profiles/h264", container=Container.MKV, priority=-3,
        max_retries=0, labels={"a": "b"}, engine_tags=("gpu",), request_id="r",
        transfer_mode=TransferMode.FILE,
    )  # fmt: skip
    request = new.request()
    assert request.job.profile == "profiles/h264"
    assert request.job.source.file_name == "01k9x0000000000a"
    assert request.job.max_retries == 0
    assert request.job.HasField("max_retries")
    assert request.job.engine_tags == ["gpu"]
    assert request.job.transfer_mode == job_pb2.TRANSFER_MODE_FILE
    assert request.request_id == "r"
    assert _job().request().job.transfer_mode == job_pb2.TRANSFER_MODE_UNSPECIFIED


def test_every_request_is_named() -> None:
    assert _job().request().request_id != _job().request().request_id


@given(st.lists(st.integers(1, 200), max_size=40), st.integers(1, 5), st.integers(200, 2000))
def test_batches_keep_order_and_both_limits(
    lengths: list[int], max_count: int, max_bytes: int
) -> None:
    jobs = [_job("x" * length) for length in lengths]
    made = list(batches(jobs, max_count=max_count, max_bytes=max_bytes))
    names = [request.job.source.file_name for batch in made for request in batch]
    assert names == ["x" * length for length in lengths]
    for batch in made:
        assert 1 <= len(batch) <= max_count
        assert len(batch) == 1 or sum(request.ByteSize() for request in batch) <= max_bytes


def test_the_largest_batch_fits_a_message() -> None:
    made = list(batches(_job() for _ in range(MAX_BATCH + 1)))
    assert [len(batch) for batch in made] == [MAX_BATCH, 1]
