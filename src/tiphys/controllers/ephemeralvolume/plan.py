"""Decide which claims a pod's generic ephemeral volumes need. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, namespace_of
from tiphys.api.storage import ephemeral_claim, not_owner
from tiphys.reconcile.commands import Announce, Command, Create, Say
from tiphys.reconcile.ownership import owner_reference

Object = dict[str, Any]

CLAIMS = resources.get("", "v1", "persistentvolumeclaims")


def plan(pod: Object, claims: Mapping[str, Object]) -> list[Command]:
    """A claim for each, named after pod and volume and gone with the pod. `claims`: those of the namespace, by name."""
    if is_deleting(pod):
        return []
    commands: list[Command] = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("ephemeral") is None:
            continue
        present = claims.get(ephemeral_claim(pod, volume))
        if present is None:
            commands.append(_create(pod, volume))
        elif not_owner(pod, present):
            text = f"ephemeral volume {volume['name']}: {not_owner(pod, present)}"
            commands.append(Say(pod, "Warning", "FailedBinding", text))
    return commands


def _create(pod: Object, volume: Mapping[str, Any]) -> Create:
    template = volume["ephemeral"]["volumeClaimTemplate"]
    given = template.get("metadata") or {}
    meta: Object = {part: dict(given[part]) for part in ("labels", "annotations") if given.get(part)}
    meta |= {"name": ephemeral_claim(pod, volume), "namespace": namespace_of(pod)}
    meta["ownerReferences"] = [owner_reference(pod)]
    wanted = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": template["spec"]}
    failed = f"ephemeral volume {volume['name']}: create PVC {meta['name']}: {{error}}"
    return Create(CLAIMS, wanted, announce=Announce(pod, "", "", "FailedBinding", failed))
