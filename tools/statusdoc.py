"""Write docs/status.md: the methods that are not served, around them the limits that are known."""

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from distconv.dispatch.unserved import UNSERVED_METHODS
from protodoc import PACKAGE

TEMPLATE = Path(__file__).with_name("templates") / "status.md"
_MARK = "{{ unserved methods }}"
# Field numbers in descriptor.proto, from which the paths of comments are made.
_FILE_MESSAGE, _FILE_SERVICE, _MESSAGE_FIELD, _SERVICE_METHOD = 4, 6, 2, 2


def status(descriptor_set: bytes) -> str:
    """Return the page: the hand-written template with the table of methods in its place."""
    template = TEMPLATE.read_text(encoding="utf-8")
    if template.count(_MARK) != 1:
        raise ValueError(f"{TEMPLATE} holds the mark '{_MARK}' once")
    return template.replace(_MARK, "\n".join(_table(descriptor_set)))


def _table(descriptor_set: bytes) -> list[str]:
    purposes: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        if file.package == PACKAGE:
            purposes |= _purposes(file)
    lines = ["| method | is to |", "| --- | --- |"]
    for name in UNSERVED_METHODS:
        # `Service.Method`, and behind it the field of its request that is meant, if not all is.
        service, method, *fields = name.removeprefix(f"{PACKAGE}.").split(".")
        shown = f"{service}.{method}" + "".join(f" with `{field}`" for field in fields)
        anchor = f"{service}{method}".lower()
        purpose = purposes[".".join((service, method, *fields))]
        lines.append(f"| [{shown}](protocol-reference.md#{anchor}) | {purpose} |")
    return lines


def _purposes(file: FileDescriptorProto) -> dict[str, str]:
    """Return the first sentence on every method, and on every field of its request."""
    comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}
    messages = {message.name: (i, message) for i, message in enumerate(file.message_type)}
    found: dict[str, str] = {}
    for i, service in enumerate(file.service):
        for k, method in enumerate(service.method):
            name = f"{service.name}.{method.name}"
            path = (_FILE_SERVICE, i, _SERVICE_METHOD, k)
            found[name] = _first_sentence(comments.get(path, ""))
            at, request = messages[method.input_type.rpartition(".")[2]]
            for n, field in enumerate(request.field):
                path = (_FILE_MESSAGE, at, _MESSAGE_FIELD, n)
                found[f"{name}.{field.name}"] = _first_sentence(comments.get(path, ""))
    return found


def _first_sentence(comment: str) -> str:
    text = " ".join(comment.split()).partition(". ")[0].rstrip(".")
    return text[:1].lower() + text[1:]
