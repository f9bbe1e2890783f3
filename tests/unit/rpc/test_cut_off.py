import grpc
import grpc.aio
import pytest

from distconv.core.errors import DistconvError, UnavailableError
from distconv.rpc.errors import from_rpc_error


def _error(details: str, code: grpc.StatusCode = grpc.StatusCode.INTERNAL) -> grpc.aio.AioRpcError:
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, empty, empty, details=details)


@pytest.mark.parametrize(
    "cut_off",
    [
        _error("Internal error from Core"),  # a write broke before the status came
        _error("CANCELLED", grpc.StatusCode.CANCELLED),  # the server stopped
    ],
)
def test_a_call_that_the_server_cut_off_may_be_tried_again(cut_off: grpc.aio.AioRpcError) -> None:
    error = from_rpc_error(cut_off)
    assert isinstance(error, UnavailableError)
    assert error.retryable


@pytest.mark.parametrize("details", ["", "something else"])
def test_other_internal_errors_are_not(details: str) -> None:
    error = from_rpc_error(_error(details))
    assert isinstance(error, DistconvError)
    assert not error.retryable
