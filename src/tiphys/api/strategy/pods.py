"""
What the API server does to Pods on their way in.

A new pod is Pending with its QoS class and perhaps a condition for its scheduling gates, and label keys that spread
constraints and affinity terms name become label selectors. An update keeps the status, a status update the spec; the
two subresources `ephemeralcontainers` and `resize` change nothing but what they are for.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tiphys.api.pods import qos_class_of
from tiphys.api.strategy import pod_warnings
from tiphys.api.strategy.apparmor import sync_apparmor
from tiphys.api.strategy.strategies import Object, Strategy

GATED_MESSAGE = "Scheduling is blocked due to non-empty scheduling gates"


def create(pod: Object) -> None:
    """Reset a new pod to what every pod begins with."""
    spec = pod["spec"]
    status: Object = {"phase": "Pending", "qosClass": qos_class_of(spec)}
    if spec.get("schedulingGates"):
        gated = {"type": "PodScheduled", "status": "False", "lastProbeTime": None}
        gated["lastTransitionTime"] = pod["metadata"].get("creationTimestamp")
        status["conditions"] = [gated | {"reason": "SchedulingGated", "message": GATED_MESSAGE}]
    pod["status"] = status
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    labels = pod["metadata"].get("labels") or {}
    for constraint in spec.get("topologySpreadConstraints") or ():
        if constraint.get("labelSelector") is not None:
            _select(constraint["labelSelector"], constraint.get("matchLabelKeys"), labels, "In")
    for container in spec["containers"] or ():
        # A signal of its own to stop with is an option that is off: what says so is dropped.
        if "lifecycle" in container:
            container["lifecycle"].pop("stopSignal", None)
    if "affinity" in spec:
        for term in _affinity_terms(spec["affinity"]):
            if term.get("labelSelector") is not None:
                _select(term["labelSelector"], term.get("matchLabelKeys"), labels, "In")
                _select(term["labelSelector"], term.get("mismatchLabelKeys"), labels, "NotIn")
    sync_apparmor(pod)


def _affinity_terms(affinity: Mapping[str, Any]) -> list[Object]:
    terms: list[Object] = []
    for name in ("podAffinity", "podAntiAffinity"):
        kind = affinity.get(name) or {}
        terms += kind.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        preferred = kind.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [each["podAffinityTerm"] for each in preferred if each.get("podAffinityTerm")]
    return terms


def _select(selector: Object, keys: list[str] | None, labels: Mapping[str, str], operator: str) -> None:
    """Select by the pod's own value of the labels that are named; a label that the pod lacks selects nothing."""
    for key in keys or ():
        if key in labels:
            expressions = selector.setdefault("matchExpressions", [])
            expressions.append({"key": key, "operator": operator, "values": [labels[key]]})


def _bump(new: Object, old: Object) -> None:
    """What the generic part does for an update without a subresource."""
    before = old["metadata"].get("generation", 0)
    new["metadata"]["generation"] = before + (new["spec"] != old["spec"])


def update_status(new: Object, old: Object) -> None:
    """Spec and owners stay; the QoS class is kept where it is left out."""
    new["spec"] = old["spec"]
    metadata = new["metadata"]
    metadata.pop("deletionTimestamp", None)
    for name in ("ownerReferences", "generation", "deletionTimestamp"):
        if name in old["metadata"]:
            metadata[name] = old["metadata"][name]
        else:
            metadata.pop(name, None)
    status, before = new.setdefault("status", {}), old.get("status") or {}
    if not status.get("qosClass") and before.get("qosClass"):
        status["qosClass"] = before["qosClass"]


def update_ephemeral_containers(new: Object, old: Object) -> None:
    """Nothing changes but the ephemeral containers."""
    wanted = new["spec"].get("ephemeralContainers")
    _restore(new, old)
    if wanted:
        new["spec"]["ephemeralContainers"] = wanted
    else:
        new["spec"].pop("ephemeralContainers", None)
    _bump(new, old)


def update_resize(new: Object, old: Object) -> None:
    """
    Nothing changes but the resources and the resize policies of containers, and the resources of the whole pod.

    With containers added, removed or renamed everything is left as it is sent: validation then says what is wrong.
    """
    wanted = new["spec"]
    for name in ("containers", "initContainers"):
        names = [[each.get("name") for each in spec.get(name) or ()] for spec in (wanted, old["spec"])]
        if names[0] != names[1]:
            return
    _restore(new, old)
    for name in ("containers", "initContainers"):
        for made, asked in zip(new["spec"].get(name) or (), wanted.get(name) or (), strict=True):
            _take(made, asked, ("resources", "resizePolicy"))
    _take(new["spec"], wanted, ("resources",))
    _bump(new, old)


def _take(into: Object, source: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if name in source:
            into[name] = source[name]
        else:
            into.pop(name, None)


def _restore(new: Object, old: Object) -> None:
    """Make `new` a private copy of `old` that keeps only the record of who owns what."""
    fields = new["metadata"].get("managedFields")
    new.clear()
    new.update(copy.deepcopy(old))
    if fields is not None:
        new["metadata"]["managedFields"] = fields


STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("", "pods"): Strategy(
        create=create,
        subresources={
            "status": update_status,
            "ephemeralcontainers": update_ephemeral_containers,
            "resize": update_resize,
        },
        warnings=pod_warnings.of_pod,
    ),
    ("", "podtemplates"): Strategy(warnings=pod_warnings.of_pod_template, has_status=False),
}
