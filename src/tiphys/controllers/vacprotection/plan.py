"""Decide about the finalizer that keeps a VolumeAttributesClass for as long as it is named. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, name_of
from tiphys.reconcile.commands import Command, Update

Object = dict[str, Any]

CLASSES = resources.get("storage.k8s.io", "v1", "volumeattributesclasses")
PROTECTION = "kubernetes.io/vac-protection"


def plan(cls: Object, users: Iterable[Mapping[str, Any]]) -> list[Command]:
    """`users` are claims and volumes that may name it."""
    finalizers = cls["metadata"].get("finalizers") or []
    if not is_deleting(cls):
        return [] if PROTECTION in finalizers else [_with(cls, [*finalizers, PROTECTION])]
    if PROTECTION not in finalizers or any(name_of(cls) in named_by(user) for user in users):
        return []
    return [_with(cls, [name for name in finalizers if name != PROTECTION])]


def named_by(user: Mapping[str, Any]) -> set[str]:
    """The classes that a claim or a volume names: what it wants, what it has, and what it is changed to."""
    return set(_names(user)) - {""}


def _names(user: Mapping[str, Any]) -> Iterator[str]:
    status = user.get("status") or {}
    yield str(user["spec"].get("volumeAttributesClassName") or "")
    yield str(status.get("currentVolumeAttributesClassName") or "")
    yield str((status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName") or "")


def _with(cls: Object, finalizers: list[str]) -> Command:
    return Update(CLASSES, {**cls, "metadata": {**cls["metadata"], "finalizers": finalizers}})
