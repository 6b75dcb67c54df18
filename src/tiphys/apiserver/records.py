"""
How an object looks in the store and in the cache: one encoding, made once.

A stored value is the object's JSON without its resourceVersion, which only the commit knows:

    {"kind":"Pod","apiVersion":"v1","metadata":{"name":…,"uid":"…36…",…},"spec":…}
    |------------- head ----------||---------------------- tail ------------------|

The cache splices `,"resourceVersion":"7"` behind the uid, whose place is known because `encode` writes metadata in a
fixed order. GET sends head + tail, LIST joins tails (items of a typed list carry no kind), WATCH frames head + tail.
Nothing is parsed or encoded again unless a selector, a conversion or a decision needs the decoded object.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import orjson

from tiphys.api import errors
from tiphys.api.resources import Resource, builtin, find

Object = dict[str, Any]

ROOT = "/registry/"
# Kubernetes keeps these under other names than the API's.
_STORED_AS = {
    "services": "services/specs",
    "endpoints": "services/endpoints",
    "nodes": "minions",
    "replicationcontrollers": "controllers",
    "ingresses": "ingress",
}
# Groups whose keys carry the group, as every custom resource's do.
_GROUPED = frozenset({"apiregistration.k8s.io", "apiextensions.k8s.io"})

_NODE_NAME = b'"nodeName":'
_METADATA = b'"metadata":{'
_UID = b'"uid":"'
_UID_LENGTH = 36 + 1  # and the closing quote
_FIRST = ("name", "generateName", "namespace", "selfLink", "uid")
_THEN = (
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


class Sealer(Protocol):
    """Encrypts values at rest. `key` is bound to the value, so that no value can be moved to another key."""

    def seal(self, key: str, plain: bytes) -> bytes: ...

    def open(self, key: str, sealed: bytes) -> bytes: ...


class NoSealer:
    """Values are stored as they are."""

    def seal(self, key: str, plain: bytes) -> bytes:
        return plain

    def open(self, key: str, sealed: bytes) -> bytes:
        return sealed


@functools.cache
def prefix_of(resource: Resource) -> str:
    """`/registry/pods/`: where all objects of a resource (of any version) are kept."""
    name = resource.name.partition("/")[0]
    if resource.group in _GROUPED or is_custom(resource):
        return f"{ROOT}{resource.group}/{name}/"
    return f"{ROOT}{_STORED_AS.get(name, name)}/"


@functools.cache
def _builtin_groups() -> frozenset[str]:
    return frozenset(resource.group for resource in builtin())


def is_custom(resource: Resource) -> bool:
    """Custom resources live in groups of their own."""
    return resource.group not in _builtin_groups()


def key_of(resource: Resource, namespace: str, name: str) -> str:
    """The storage key of one object."""
    prefix = prefix_of(resource)
    return f"{prefix}{namespace}/{name}" if resource.namespaced else prefix + name


# Kinds that are served in several versions or groups are stored in one.
_STORED_ELSEWHERE = {
    ("events.k8s.io", "v1", "events"): ("", "v1", "events"),
    ("autoscaling", "v1", "horizontalpodautoscalers"): ("autoscaling", "v2", "horizontalpodautoscalers"),
}


@functools.cache
def storage_of(resource: Resource) -> Resource:
    """The resource whose version a kind is stored in (for a subresource: its parent's)."""
    name = resource.name.partition("/")[0]
    group, version, name = _STORED_ELSEWHERE.get(
        (resource.group, resource.version, name), (resource.group, resource.version, name)
    )
    return find(group, version, name) or resource


def collection_prefix(key: str) -> str:
    """The prefix_of() that a storage key was made with."""
    first = key.find("/", len(ROOT))
    segment = key[len(ROOT) : first]
    if segment == "services" or "." in segment:
        return key[: key.find("/", first + 1) + 1]
    return key[: first + 1]


def encode(obj: Object) -> bytes:
    """The stored value of an object: fixed order, no resourceVersion. 400 for one that no JSON printer would print."""
    metadata = obj["metadata"]
    ordered: Object = {name: metadata[name] for name in _FIRST if metadata.get(name)}
    ordered.update({name: metadata[name] for name in _THEN if name in metadata})
    document = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": ordered}
    for name, value in obj.items():
        if name not in document:
            document[name] = value
    try:
        return orjson.dumps(document)
    except TypeError:
        raise errors.bad_request("the object is nested too deeply to be stored") from None


class Record:
    """One version of one object, as bytes; decoded only when somebody asks. Never changed."""

    __slots__ = ("_labels", "_node", "_object", "head", "key", "revision", "tail")

    def __init__(self, key: str, value: bytes, revision: int) -> None:
        start = value.index(_METADATA)
        splice = value.index(_UID, start) + len(_UID) + _UID_LENGTH
        self.key = key
        self.revision = revision
        self.head = value[:start]
        self.tail = b'%b,"resourceVersion":"%d"%b' % (value[start:splice], revision, value[splice:])
        self._object: Object | None = None
        self._labels: dict[str, str] | None = None
        self._node: str | None = None

    @property
    def body(self) -> bytes:
        """The whole object as JSON."""
        return self.head + self.tail

    @property
    def object(self) -> Object:
        """The decoded object, kept for the next reader: read-only."""
        if self._object is None:
            self._object = self.decode()
        return self._object

    @property
    def labels(self) -> dict[str, str]:
        """The object's labels; only they are kept, so that a selector does not hold all objects decoded."""
        if self._labels is None:
            self._labels = self.peek()["metadata"].get("labels") or {}
        return self._labels

    @property
    def node_name(self) -> str:
        """A pod's node: what node agents watch by."""
        if self._node is None:
            # Looked for before it is decoded: a pod that waits for its node has none to be found.
            held = self._object is not None or _NODE_NAME in self.tail
            self._node = str((self.peek().get("spec") or {}).get("nodeName", "")) if held else ""
        return self._node

    def peek(self) -> Object:
        """The decoded object for one look: kept only if somebody keeps it anyway. Read-only."""
        return self._object if self._object is not None else self.decode()

    def decode(self) -> Object:
        """A fresh copy that the caller may change."""
        decoded: Object = orjson.loads(self.head + self.tail)
        return decoded

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]
