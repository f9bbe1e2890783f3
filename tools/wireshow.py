"""Show recorded messages for people: protobuf JSON, secrets gone, ids short, long lists cut."""

import json
import re
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

_WIDTH = 96
_INDENT = "  "
_MOST = 4  # entries of a list that is cut
_CUT_LISTS = {"encoders", "decoders", "muxers", "demuxers", "argv", "stderr_tail"}
# 16 characters that begin with the time of their making.
_ID = re.compile(r"\b([01][0-9a-z]{2})[0-9a-z]{9}([0-9a-z]{4})\b")
_NONCE = re.compile(r"(\.[0-9a-f]{4})[0-9a-f]{8}\b")
_SHA = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")
_FOLDER = re.compile(r"(?<![\w…])(?:/[\w.+@-]+)+/(?=[\w.+-]+)")
_TIME = re.compile(r"(T\d\d:\d\d:\d\d\.\d{3})\d+Z$")
_INT64 = re.compile(r"-?\d+")
# Of this machine, and nothing to be learnt from.
_MACHINE = {"cpu_model": "Some CPU @ 3.0 GHz", "build_id": "5f1d…"}
# Text, though it may look like a number.
_MAPS = {"metadata", "tags", "labels"}
_TEXTS = _MAPS | {"etag"}
# Registers the details, so that they can be shown.
_DETAILS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest)


def short_id(text: str) -> str:
    """Return a text with its ids, digests and folders shortened."""
    for pattern, to in ((_SHA, r"\1…"), (_NONCE, r"\1…"), (_ID, r"\1…\2"), (_FOLDER, "…/")):
        text = pattern.sub(to, text)
    return text


def shown(message: Message | status_pb2.Status) -> str:
    """Return a message as JSON with the contract's field names."""
    value = json_format.MessageToDict(message, preserving_proto_field_name=True)
    if isinstance(message, status_pb2.Status):
        value = {**value, "code": _code_name(message.code)}
    return _pretty(_cut(value, ""), 0)


def _code_name(number: int) -> str:
    import grpc  # noqa: PLC0415  # heavy, and needed for errors alone

    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


def _cut(value: Any, key: str) -> Any:
    match value:
        case dict():
            # The keys of a map are anybody's; its values are text, whatever they look like.
            return {k: _cut(v, key if key in _MAPS else k) for k, v in value.items()}
        case list():
            most = _MOST if key in _CUT_LISTS else 12
            kept = [_cut(v, key) for v in value[:most]]
            return [*kept, f"… {len(value) - most} more"] if len(value) > most else kept
        case str():
            return _cut_text(value, key)
        case float():
            return float(f"{value:.6g}")
        case _:
            return value


def _cut_text(text: str, key: str) -> Any:
    if key in _MACHINE:
        return _MACHINE[key]
    if key == "token":
        return f"{text[:10]}…"
    if key == "data":
        padding = len(text) - len(text.rstrip("="))
        return f"({len(text) * 3 // 4 - padding:,} bytes)"
    if (found := _TIME.search(text)) is not None:
        return f"{text[: found.start()]}{found[1]}Z"
    if _INT64.fullmatch(text) and key not in _TEXTS:
        return int(text)  # JSON has 64-bit numbers as text; people need no quotes
    return text if key == "@type" else short_id(text)


def _pretty(value: Any, depth: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    fits = len(flat) + depth * len(_INDENT) <= _WIDTH
    if fits or not value or not isinstance(value, dict | list):
        return flat
    inner = _INDENT * (depth + 1)
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(k)}: {_pretty(v, depth + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{_INDENT * depth}}}"
    parts = [f"{inner}{_pretty(v, depth + 1)}" for v in value]
    return "[\n" + ",\n".join(parts) + f"\n{_INDENT * depth}]"
