"""Write the protocol reference in Markdown from a descriptor set with comments."""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

PACKAGE = "distconv.v1"
# Field numbers in descriptor.proto, from which the paths of comments are made.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _ENUM_VALUE, _SERVICE_METHOD = 2, 2, 2
_FILE_SYNTAX = 12

_SCALARS = {
    FieldDescriptorProto.TYPE_DOUBLE: "double",
    FieldDescriptorProto.TYPE_INT64: "int64",
    FieldDescriptorProto.TYPE_INT32: "int32",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
}

Comments = dict[tuple[int, ...], str]


def reference(descriptor_set: bytes) -> str:
    """Return the reference of every service, method, message, field, enum and error."""
    files = [f for f in FileDescriptorSet.FromString(descriptor_set).file if f.package == PACKAGE]
    files.sort(key=lambda f: (not f.service, f.name))
    lines = [
        "# Protocol reference",
        "",
        f"Every service, method, message and field of `{PACKAGE}`. Generated from `proto/` by",
        "`make gen`; do not edit. How they play together: [protocol.md](protocol.md).",
        "",
        *_contents(files),
    ]
    for file in files:
        lines += _file(file)
    return "\n".join(lines).rstrip() + "\n"


def _contents(files: list[FileDescriptorProto]) -> Iterator[str]:
    for file in files:
        names = [s.name for s in file.service] or [m.name for m in file.message_type]
        links = ", ".join(f"[{n}](#{n.lower()})" for n in names)
        yield f"- `{file.name}`: {links}"
    yield ""


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments: Comments = {
        tuple(loc.path): _text(loc.leading_comments) for loc in file.source_code_info.location
    }
    yield f"## {file.name}"
    yield ""
    yield comments.get((_FILE_SYNTAX,), "")
    yield ""
    for i, service in enumerate(file.service):
        yield from _service(service, comments, (_FILE_SERVICE, i))
    for i, enum in enumerate(file.enum_type):
        yield from _enum(enum, comments, (_FILE_ENUM, i))
    for i, message in enumerate(file.message_type):
        yield from _message(message, comments, (_FILE_MESSAGE, i))


def _service(
    service: ServiceDescriptorProto, comments: Comments, path: tuple[int, ...]
) -> Iterator[str]:
    yield f"### {service.name}"
    yield ""
    yield comments.get(path, "")
    yield ""
    for i, method in enumerate(service.method):
        takes = ("stream " if method.client_streaming else "") + _link(method.input_type)
        gives = ("stream " if method.server_streaming else "") + _link(method.output_type)
        yield f"#### {service.name}.{method.name}"
        yield ""
        yield f"{takes} → {gives}"
        yield ""
        yield comments.get((*path, _SERVICE_METHOD, i), "")
        yield ""


def _enum(enum: EnumDescriptorProto, comments: Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield f"### {enum.name}"
    yield ""
    yield comments.get(path, "")
    yield ""
    yield "| number | value | meaning |"
    yield "| ---: | --- | --- |"
    for i, value in enumerate(enum.value):
        meaning = _cell(comments.get((*path, _ENUM_VALUE, i), ""))
        yield f"| {value.number} | `{value.name}` | {meaning} |"
    yield ""


def _message(message: DescriptorProto, comments: Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield f"### {message.name}"
    yield ""
    yield comments.get(path, "")
    yield ""
    if not message.field:
        return
    yield "| number | field | type | meaning |"
    yield "| ---: | --- | --- | --- |"
    for i, field in enumerate(message.field):
        meaning = _cell(comments.get((*path, _MESSAGE_FIELD, i), ""))
        yield f"| {field.number} | `{field.name}` | {_type(field, message)} | {meaning} |"
    yield ""


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    nested = {f".{PACKAGE}.{message.name}.{n.name}": n for n in message.nested_type}
    entry = nested.get(field.type_name)
    if entry is not None and entry.options.map_entry:
        key, value = entry.field
        return f"map of {_single(key)} to {_single(value)}"
    single = _single(field)
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {single}"
    if field.proto3_optional:
        return f"optional {single}"
    if field.HasField("oneof_index"):
        return f"{single} (one of `{message.oneof_decl[field.oneof_index].name}`)"
    return single


def _single(field: FieldDescriptorProto) -> str:
    return _link(field.type_name) if field.type_name else _SCALARS[field.type]


def _link(type_name: str) -> str:
    short = type_name.rsplit(".", 1)[-1]
    if type_name.startswith(f".{PACKAGE}."):
        return f"[{short}](#{short.lower()})"
    return f"`{type_name.lstrip('.')}`"


def _text(comment: str) -> str:
    lines = (line.strip() for line in comment.strip().splitlines())
    return "\n".join(line for line in lines if not line.startswith("buf:lint:"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
