"""
The builtin messages: what `data/schema.txt` says of them, split line by line when one is first asked for.

A server uses some hundred of the eight hundred messages, so the table stays one piece of text with an index of lines;
parsing all of it as JSON at the start would cost 50 ms and 10 MB for nothing. A line has tab-separated columns:

    name  kinds  atomic  field…

`kinds` is `group/version/kind` joined by `;`, `atomic` is `A` or empty. A field has the parts

    json name | protobuf number | type | presence | list type | patch | default | Go type | enum

without the empty ones at the end. The type is a letter of `Kind`, or `@` and the name of a message, after `[` for a
list and `{` for a map. The list type is `a` atomic, `s` set, `m:key,key` map, `A` atomic struct or map; the patch is
the letters of its strategies, `:` and the merge key. Made by `scripts/generate-schema`.

Names are short: `core.v1.Pod`, `meta.v1.ObjectMeta`. The OpenAPI name (`io.k8s.api.core.v1.Pod`) is accepted too.
"""

from __future__ import annotations

import functools
import lzma
from importlib import resources as package_files
from typing import Any

import orjson

from tiphys.api.schema.types import Field, Kind, Message, Shape

_LONG = (
    ("io.k8s.apimachinery.pkg.apis.meta.", "meta."),
    ("io.k8s.apimachinery.pkg.api.resource.", "resource."),
    ("io.k8s.apimachinery.pkg.util.intstr.", "intstr."),
    ("io.k8s.apimachinery.pkg.runtime.", "runtime."),
    ("io.k8s.apiextensions-apiserver.pkg.apis.", ""),
    ("io.k8s.kube-aggregator.pkg.apis.", ""),
    ("io.k8s.api.", ""),
)
_LIST_TYPES = {"a": "atomic", "s": "set", "m": "map", "A": "atomic", "": ""}
# Every top-level object says these two; they have no protobuf number, since runtime.Unknown carries them.
_TYPE_META = ("kind", "apiVersion")


def message(name: str) -> Message:
    """The message of that name. KeyError if there is none."""
    found = _messages.get(name)
    if found is None:
        found = _messages[name] = _parse(short_name(name))
    return found


def message_of(group: str, version: str, kind: str) -> Message | None:
    """The message of a kind, or None if there is none."""
    name = _kinds().get((group, version, kind))
    return message(name) if name is not None else None


def short_name(name: str) -> str:
    """`core.v1.Pod` for `io.k8s.api.core.v1.Pod`."""
    for prefix, brief in _LONG:
        if name.startswith(prefix):
            return brief + name[len(prefix) :]
    return name


def definitions() -> dict[str, Any]:
    """
    All OpenAPI definitions with their descriptions, by their long names (`io.k8s.api.core.v1.Pod`).

    Read from the package each time and never kept (6 MB as dicts, 60 ms): the caller builds what it serves and drops
    the rest. References are `#/definitions/…` as in OpenAPI v2.
    """
    packed = package_files.files("tiphys.api").joinpath("data/definitions.json.xz").read_bytes()
    loaded: dict[str, Any] = orjson.loads(lzma.decompress(packed))
    return loaded


_messages: dict[str, Message] = {}


@functools.cache
def _lines() -> dict[str, str]:
    text = package_files.files("tiphys.api").joinpath("data/schema.txt").read_text("ascii")
    return dict(line.split("\t", 1) for line in text.splitlines())


@functools.cache
def _kinds() -> dict[tuple[str, str, str], str]:
    found = {}
    for name, line in _lines().items():
        for said in line.split("\t", 1)[0].split(";"):
            if said:
                group, version, kind = said.split("/")
                found[group, version, kind] = name
    return found


def _parse(name: str) -> Message:
    existing = _messages.get(name)
    if existing is not None:
        return existing
    kinds, atomic, *columns = _lines()[name].split("\t")
    wire = {one.number: one for one in map(_field, columns)}
    fields = _flattened(wire)
    gvks = tuple((g, v, k) for g, v, k in (said.split("/") for said in kinds.split(";") if said))
    if gvks:
        type_meta = {said: Field(said, 0, Kind.STRING, Shape.ONE, "z") for said in _TYPE_META}
        fields = {**type_meta, **fields}
    made = Message(name, fields, wire, gvks, is_atomic=atomic == "A")
    _messages[name] = made
    return made


def _flattened(wire: dict[int, Field]) -> dict[str, Field]:
    """Fields by JSON name; those of an inlined message stand in its place, and give way to the holder's own."""
    own = {one.name for one in wire.values()}
    fields: dict[str, Field] = {}
    for one in wire.values():
        inlined = one.message if not one.name else None
        if inlined is None:
            fields[one.name] = one
        else:
            fields.update((name, inner) for name, inner in inlined.fields.items() if name not in own)
    fields.pop("-", None)
    return fields


def _field(column: str) -> Field:
    name, number, code, presence, list_code, patch, default, go_type, enum = (column.split("|") + [""] * 8)[:9]
    shape = Shape.ONE
    if code[0] in "[{":
        shape, code = Shape(code[0]), code[1:]
    list_type, _, keys = list_code.partition(":")
    merge, _, merge_key = patch.partition(":")
    return Field(
        name=name,
        number=int(number),
        kind=Kind(code[0]),
        shape=shape,
        presence=presence,
        list_type=_LIST_TYPES[list_type],
        keys=tuple(keys.split(",")) if keys else (),
        merge=merge,
        merge_key=merge_key,
        default=default,
        go_type=go_type,
        enum=tuple(enum.split(",")) if enum else (),
        resolve=functools.partial(message, code[1:]) if code[0] == "@" else None,
    )
