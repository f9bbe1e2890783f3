"""The error tree on the wire: DistconvError ↔ google.rpc.Status with ErrorInfo and BadRequest."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from distconv.core import errors as tree

_DOMAIN = "distconv"
# Status details travel in HTTP/2 headers, 8 KiB in all by default.
_MAX_MESSAGE_CHARS = 2_000
# How gRPC says that no connection came to be, and that the other side closed it at once: so does a
# server that wants TLS when one begins in the clear.
_NO_CONNECTION, _CLOSED = "failed to connect to all addresses", "Socket closed"
# How it begins to say that a certificate is not trusted, or that the other side has none.
_NO_TLS = ("ls handshake failed", "erification check failed")
# How it says, with that, that the other side speaks no TLS at all: as OpenSSL does, and as gRPC
# does that has no certificate to look at.
_IN_THE_CLEAR = ("WRONG_VERSION_NUMBER", "Invalid certificate verification context")
_HOW_TO_TRUST = "--tls-ca of dcctl, tls_ca in the settings of an engine and of dispatch"

# The first class that matches counts: leaves before branches.
_CODES: tuple[tuple[type[tree.DistconvError], grpc.StatusCode], ...] = (
    (tree.InvalidArgumentError, grpc.StatusCode.INVALID_ARGUMENT),
    (tree.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (tree.AlreadyExistsError, grpc.StatusCode.ALREADY_EXISTS),
    (tree.StaleLeaseError, grpc.StatusCode.ABORTED),
    (tree.StaleEtagError, grpc.StatusCode.ABORTED),
    (tree.FailedPreconditionError, grpc.StatusCode.FAILED_PRECONDITION),
    (tree.OutOfRangeError, grpc.StatusCode.OUT_OF_RANGE),
    (tree.UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (tree.PermissionDeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (tree.UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (tree.DeadlineExceededError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (tree.ResourceExhaustedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (tree.UploadFailedError, grpc.StatusCode.ABORTED),
    (tree.DataLossError, grpc.StatusCode.DATA_LOSS),
    (tree.UnimplementedError, grpc.StatusCode.UNIMPLEMENTED),
    (tree.CancelledError, grpc.StatusCode.CANCELLED),
    (tree.CorruptSourceError, grpc.StatusCode.INVALID_ARGUMENT),
    (tree.UnsupportedSourceError, grpc.StatusCode.INVALID_ARGUMENT),
    (tree.ImpossibleProfileError, grpc.StatusCode.INVALID_ARGUMENT),
    (tree.MissingEncoderError, grpc.StatusCode.FAILED_PRECONDITION),
    (tree.VerificationError, grpc.StatusCode.DATA_LOSS),
    (tree.MediaError, grpc.StatusCode.ABORTED),
    (tree.DistconvError, grpc.StatusCode.INTERNAL),
)


def _leaves(cls: type[tree.DistconvError]) -> Iterator[type[tree.DistconvError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _leaves(child)


_BY_REASON: dict[str, type[tree.DistconvError]] = {
    cls.reason: cls for cls in _leaves(tree.DistconvError) if "reason" in vars(cls)
}
_BY_CODE: dict[grpc.StatusCode, type[tree.DistconvError]] = {
    code: cls for cls, code in reversed(_CODES) if not issubclass(cls, tree.MediaError)
}


def to_status(error: tree.DistconvError) -> status_pb2.Status:
    """Put an error of the tree on the wire."""
    code = next(code for cls, code in _CODES if isinstance(error, cls))
    message = error.message[:_MAX_MESSAGE_CHARS]
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=_DOMAIN, metadata=error.metadata)
    details = [_pack(info)]
    wrong = error.violations
    if not wrong and isinstance(error, tree.InvalidArgumentError) and error.field:
        wrong = ((error.field, message),)
    if wrong:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
            for field, description in wrong
        ]
        details.append(_pack(error_details_pb2.BadRequest(field_violations=violations)))
    return status_pb2.Status(code=code.value[0], message=message, details=details)


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def from_rpc_error(
    error: grpc.aio.AioRpcError, *, address: str = "", of_storage: bool = False
) -> tree.DistconvError:
    """Make of a failed call the error that the server raised, or the one that fits its code.

    `of_storage`: what is at `address` is asked as storage.
    """
    message = error.details() or error.code().name
    status = rpc_status.from_call(error)  # pyright: ignore[reportArgumentType]  # has what it reads
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == _DOMAIN:
            rebuilt = _rebuild(
                _BY_REASON.get(info.reason, _BY_CODE.get(error.code(), tree.DistconvError)),
                message,
                dict(info.metadata),
            )
            rebuilt.violations = tuple(_violations(status.details if status is not None else ()))
            rebuilt.answered = True
            return rebuilt
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        party = "storage" if of_storage else "server"
        where = f" at {address}" if address else ""
        if any(words in message for words in _NO_TLS):
            return tree.UnavailableError(
                f"TLS with the {party}{where} failed ({_cause(message)}); {_tls_remedy(message)}"
            )
        remedy = _remedy(message, of_storage=of_storage)
        message = f"no {party} answers{where} ({_cause(message)}); {remedy}"
    if _was_cut_off(error):
        return tree.UnavailableError(
            "the server cut the call off: it stops, or refused what was being sent; try again"
        )
    return _BY_CODE.get(error.code(), tree.InternalError)(message)


def _tls_remedy(message: str) -> str:
    if any(words in message for words in _IN_THE_CLEAR):
        return (
            "most likely it serves in the clear: leave out what is to be trusted "
            f"({_HOW_TO_TRUST}; DISTCONV_TLS_CA in the environment)"
        )
    return (
        f"what is to be trusted ({_HOW_TO_TRUST}) has to be what signed its certificate, and the "
        "address has to be for the host that the certificate names"
    )


def _remedy(message: str, *, of_storage: bool) -> str:
    if message.startswith(_NO_CONNECTION) and message.endswith(_CLOSED):
        return (
            "what listens there closes the connection: if it serves with TLS, say what signed its "
            f"certificate ({_HOW_TO_TRUST})"
        )
    if of_storage:
        return (
            "dispatch names it as its storage: start `distconv-storage` there (or dispatch, where "
            "that embeds it), or correct --storage-address of dispatch"
        )
    return "start one with `dcctl up`, or correct the address"


def _violations(details: Iterable[any_pb2.Any]) -> Iterator[tuple[str, str]]:
    for detail in details:
        wrong = error_details_pb2.BadRequest()
        if detail.Unpack(wrong):
            yield from ((v.field, v.description) for v in wrong.field_violations)


def _was_cut_off(error: grpc.aio.AioRpcError) -> bool:
    # A server that stops cancels what outlives its grace; one's own cancellation is no
    # AioRpcError. And grpc.aio overwrites the status of a call with INTERNAL when a write fails
    # before the server's status has been read (grpc/aio/_call.py, _write): the cause is lost.
    return error.code() is grpc.StatusCode.CANCELLED or (
        error.code() is grpc.StatusCode.INTERNAL
        and (error.details() or "").startswith("Internal error from Core")
    )


def _rebuild(
    cls: type[tree.DistconvError], message: str, metadata: dict[str, str]
) -> tree.DistconvError:
    return cls(message, metadata=metadata)


def _cause(text: str) -> str:
    """Return the innermost of gRPC's nested explanations: "Connection refused"."""
    line = (text.splitlines()[0] if text else "").removesuffix(": OK")
    return line.rpartition(": ")[2].rstrip("]")[:200]


@contextmanager
def translated(address: str = "", *, of_storage: bool = False) -> Iterator[None]:
    """Turn AioRpcError into the tree's errors; `address` names the server in messages.

    `of_storage`: it is asked as storage.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error, address=address, of_storage=of_storage) from error
