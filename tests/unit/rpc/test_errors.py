import grpc
import grpc.aio
import pytest
from grpc_status import rpc_status

from distconv.core import errors as tree
from distconv.rpc.errors import from_rpc_error, to_status, translated


def leaves(cls):
    yield cls
    for child in cls.__subclasses__():
        yield from leaves(child)


OURS = [c for c in leaves(tree.DistconvError) if c.__module__ == tree.__name__]


def on_the_wire(error: tree.DistconvError) -> grpc.aio.AioRpcError:
    status = rpc_status.to_status(to_status(error))
    return grpc.aio.AioRpcError(
        status.code,
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(*status.trailing_metadata),
        details=status.details,
    )


@pytest.mark.parametrize("cls", OURS, ids=lambda c: c.__name__)
def test_every_class_survives_the_wire(cls):
    back = from_rpc_error(on_the_wire(cls("the film broke", metadata={"job": "1"})))
    assert type(back) is cls or type(back).reason == cls.reason
    assert back.message == "the film broke"
    assert back.metadata["job"] == "1"
    assert back.answered


def test_reasons_are_unique_among_classes_that_name_one():
    own = [c for c in OURS if "reason" in vars(c) and c is not tree.InternalError]
    assert len({c.reason for c in own}) == len(own)


def test_field_travels():
    back = from_rpc_error(on_the_wire(tree.InvalidArgumentError("too high", field="priority")))
    assert isinstance(back, tree.InvalidArgumentError)
    assert back.field == "priority"


def test_a_foreign_unavailable_says_what_to_do():
    foreign = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE,
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(),
        details="failed to connect to all addresses; last error: refused\nmore",
    )
    back = from_rpc_error(foreign, address="127.0.0.1:1")
    assert isinstance(back, tree.UnavailableError)
    assert "127.0.0.1:1" in back.message
    assert "dcctl up" in back.message
    assert "more" not in back.message
    assert not back.answered


def test_a_long_message_is_cut_so_that_headers_hold_it():
    status = to_status(tree.InvalidArgumentError("x" * 100_000))
    assert len(status.message) <= 2_000


def test_translated_passes_other_errors_on():
    with pytest.raises(ZeroDivisionError), translated():
        1 / 0  # noqa: B018
