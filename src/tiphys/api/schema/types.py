"""
What is known of a message (a struct of the Kubernetes API) and its fields.

Builtin messages come from `table.py`; a custom resource builds its own from its OpenAPI schema. All readers (the typed
decoder, protobuf, strategic merge, field ownership) work from these two records and compile what they need from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """The type of one value. Everything from TIME on is a struct in Go with a JSON form of its own."""

    STRING = "s"
    INT32 = "i"
    INT64 = "l"
    BOOL = "b"
    DOUBLE = "d"
    BYTES = "y"
    MESSAGE = "@"
    TIME = "T"
    MICRO_TIME = "M"
    DURATION = "D"
    QUANTITY = "Q"
    INT_OR_STRING = "O"
    ANY = "J"  # any JSON value: RawExtension, FieldsV1, JSON
    STRINGS = "V"  # a list of strings that has a struct of its own on the wire: ExtraValue, Verbs
    SCHEMA_OR_ARRAY = "A"
    SCHEMA_OR_BOOL = "B"
    SCHEMA_OR_STRINGS = "S"


class Shape(Enum):
    """Whether a field holds one value, a list of them, or a map of them by string."""

    ONE = ""
    LIST = "["
    MAP = "{"


@dataclass(slots=True)
class Field:
    """
    One field of a message.

    `presence` is "p" for a pointer (absent unless set; a zero value means something), "z" for a value that is left out
    when it is zero, "r" for one that is always there. `list_type` is "atomic", "set" or "map" (with `keys`); of a map
    or struct it is "atomic" or "". `merge` holds the strategies of a strategic merge patch: "m" merge, "k" retainKeys,
    "r" replace. An inlined message has the name "" (only in `Message.wire`).
    """

    name: str
    number: int
    kind: Kind
    shape: Shape
    presence: str
    list_type: str = ""
    keys: tuple[str, ...] = ()
    merge: str = ""
    merge_key: str = ""
    default: str = ""
    go_type: str = ""
    enum: tuple[str, ...] = ()
    resolve: Callable[[], Message] | None = None

    @property
    def message(self) -> Message | None:
        """The message of the value, or of each item of a list or map."""
        return self.resolve() if self.resolve is not None else None

    @property
    def is_atomic(self) -> bool:
        return self.list_type == "atomic"


@dataclass(slots=True, eq=False)
class Message:
    """
    One struct: `fields` by JSON name with inlined messages flattened, `wire` by protobuf number with them whole.

    `kinds` are the (group, version, kind) it is the top of. `open` means that fields which are not listed are kept
    (a custom resource with x-kubernetes-preserve-unknown-fields). `plans` is where readers keep what they compiled.
    """

    name: str
    fields: Mapping[str, Field]
    wire: Mapping[int, Field] = field(default_factory=dict)
    kinds: tuple[tuple[str, str, str], ...] = ()
    is_atomic: bool = False
    open: bool = False
    plans: dict[str, object] = field(default_factory=dict)

    @property
    def go_name(self) -> str:
        """`Pod`"""
        return self.name.rpartition(".")[2]

    @property
    def go_type(self) -> str:
        """`v1.Pod`"""
        return ".".join(self.name.split(".")[-2:])
