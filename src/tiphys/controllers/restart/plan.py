"""
Decide whether a workload restarts because its configuration is another one now. Pure.

What each ConfigMap and Secret was like is noted on the workload, as `configmap/web=HASH,…`. When one of them changes,
the note goes into the pod template too: an ordinary rollout follows. A reference that is new, or an object that comes
into being, is only noted: pods that waited for it begin by themselves. One that is gone changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.objects import annotations_of, key_of, uid_of
from tiphys.api.own_annotations import CONFIGURATION
from tiphys.api.references import CONFIG_MAPS, SECRETS, Reference, references_of
from tiphys.api.resources import Resource
from tiphys.client.client import STRATEGIC_PATCH
from tiphys.reconcile.commands import Command, Patch, Say
from tiphys.reconcile.pod_template import hash_of

Object = dict[str, Any]

_WORDS = {CONFIG_MAPS: "configmap", SECRETS: "secret"}


def references(workload: Mapping[str, Any]) -> list[Reference]:
    """The ConfigMaps and Secrets of its template, in order. Secrets that only pull images do not count."""
    spec = {key: value for key, value in workload["spec"]["template"]["spec"].items() if key != "imagePullSecrets"}
    found = references_of({"metadata": {"name": ""}, "spec": spec})
    return sorted(one for one in found if one[0] in _WORDS)


def digest(obj: Mapping[str, Any]) -> str:
    """
    The contents of a ConfigMap or Secret in ten letters, which everybody who sees the workload can read.

    A Secret's uid, known only to who may read the Secret, goes in: from the letters alone nobody can try passwords.
    """
    salt = uid_of(obj) if obj.get("kind") == "Secret" else ""
    return hash_of([salt, obj.get("data") or {}, obj.get("binaryData") or {}], 0)


def plan(resource: Resource, workload: Object, digests: Mapping[Reference, str]) -> list[Command]:
    """`digests` are those of the objects that there are."""
    noted = _read(annotations_of(workload).get(CONFIGURATION, ""))
    present = {f"{_WORDS[plural]}/{name}": found for (plural, name), found in digests.items()}
    wanted = [f"{_WORDS[plural]}/{name}" for plural, name in references(workload)]
    after = {one: present.get(one) or noted[one] for one in wanted if one in present or one in noted}
    if after == noted:
        return []
    changed = [one for one in wanted if one in noted and after[one] != noted[one]]
    note = {CONFIGURATION: ",".join(f"{one}={after[one]}" for one in wanted if one in after) or None}
    version = workload["metadata"].get("resourceVersion", "")
    change: Object = {"metadata": {"uid": uid_of(workload), "resourceVersion": version, "annotations": note}}
    commands: list[Command] = [Patch(resource, key_of(workload), change, media_type=STRATEGIC_PATCH)]
    if changed:
        change["spec"] = {"template": {"metadata": {"annotations": note}}}
        text = f"Restarts, because of changes in {', '.join(changed)}"
        commands.append(Say(workload, "Normal", "RestartOnChange", text))
    return commands


def _read(text: str) -> dict[str, str]:
    """What was noted; a part that is no note is forgotten."""
    parts = (part.partition("=") for part in text.split(",") if part)
    return {name: value for name, equals, value in parts if equals}
