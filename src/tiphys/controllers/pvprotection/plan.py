"""Decide about the finalizer that keeps a volume for as long as it is bound. Pure."""

from __future__ import annotations

from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting
from tiphys.api.storage import VOLUME_PROTECTION, phase_of
from tiphys.reconcile.commands import Command, Update

Object = dict[str, Any]

VOLUMES = resources.get("", "v1", "persistentvolumes")


def plan(volume: Object) -> list[Command]:
    """Put it where it is missing; take it off a deleted volume that is not bound."""
    finalizers = volume["metadata"].get("finalizers") or []
    if not is_deleting(volume):
        return [] if VOLUME_PROTECTION in finalizers else [_with(volume, [*finalizers, VOLUME_PROTECTION])]
    if VOLUME_PROTECTION not in finalizers or phase_of(volume) == "Bound":
        return []
    return [_with(volume, [name for name in finalizers if name != VOLUME_PROTECTION])]


def _with(volume: Object, finalizers: list[str]) -> Command:
    return Update(VOLUMES, {**volume, "metadata": {**volume["metadata"], "finalizers": finalizers}})
