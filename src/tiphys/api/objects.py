"""What every object answers: its name, labels, owners, conditions. Objects are plain dicts, never changed here."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping, Sequence
from typing import Any

Object = dict[str, Any]


def name_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("name", ""))


def namespace_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("uid", ""))


def key_of(obj: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, name): what queues and caches are keyed by."""
    return namespace_of(obj), name_of(obj)


def labels_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}


def revision_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def controller_of(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner reference with `controller: true`, if any."""
    owners: Sequence[Mapping[str, Any]] = obj["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def condition_of(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """The status condition of that type, if any."""
    conditions: Sequence[Mapping[str, Any]] = (obj.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), None)


def timestamp(seconds: float) -> str:
    """Unix seconds as RFC 3339 in whole seconds, as metav1.Time prints them."""
    return _second(int(seconds))


# Everything that happens within a second says the same: every write asks for it twice.
@functools.lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(seconds: float) -> str:
    """Unix seconds as RFC 3339 with microseconds, as metav1.MicroTime prints them."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> float:
    """RFC 3339 to Unix seconds. ValueError if it is none."""
    return datetime.datetime.fromisoformat(text).timestamp()
