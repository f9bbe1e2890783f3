import grpc
import grpc.aio
import pytest

from distconv.core.errors import DistconvError, UnavailableError
from distconv.rpc.errors import from_rpc_error


def _error(details: str) -> grpc.aio.AioRpcError:
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, empty, empty, details=details)


def test_a_write_that_broke_before_the_status_came_may_be_tried_again() -> None:
    error = from_rpc_error(_error("Internal error from Core"))
    assert isinstance(error, UnavailableError)
    assert error.retryable


@pytest.mark.parametrize("details", ["", "something else"])
def test_other_internal_errors_are_not(details: str) -> None:
    error = from_rpc_error(_error(details))
    assert isinstance(error, DistconvError)
    assert not error.retryable
