"""Which nodes a DaemonSet's pods belong on, and what its pods carry to get there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, labels_of, name_of
from tiphys.api.pods import tolerates
from tiphys.api.selectors import matches_node_selector_term
from tiphys.reconcile.history import POD_REVISION, template_of
from tiphys.reconcile.pod_template import pod_from

Object = dict[str, Any]

DAEMONSETS = resources.get("apps", "v1", "daemonsets")
NODES = resources.get("", "v1", "nodes")
PODS = resources.get("", "v1", "pods")

GENERATION = "deprecated.daemonset.template.generation"
POD_GENERATION = "pod-template-generation"
NAME_FIELD = "metadata.name"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PRESSURES = ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
# A daemon's pod stays on a node that fails, and comes to one that nobody else should come to.
TOLERATIONS: tuple[Object, ...] = (
    *(
        {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute"}
        for what in ("not-ready", "unreachable")
    ),
    *({"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoSchedule"} for what in _PRESSURES),
)
_NETWORK = {"key": "node.kubernetes.io/network-unavailable", "operator": "Exists", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Suits:
    """`begins`: a pod may be started on the node. `stays`: one that is there may go on."""

    begins: bool
    stays: bool


NOWHERE, ANYHOW = Suits(begins=False, stays=False), Suits(begins=True, stays=True)


def chooser(daemonset: Mapping[str, Any]) -> Callable[[Object], Suits]:
    """What the template's node name, selector, affinity and tolerations say about nodes: asked of thousands."""
    spec = daemonset["spec"]["template"]["spec"]
    tolerations = with_tolerations(spec)

    def suits(node: Object) -> Suits:
        if not _chooses(spec, node):
            return NOWHERE
        taints = (node.get("spec") or {}).get("taints")
        if not taints:
            return ANYHOW
        effects = [taint["effect"] for taint in taints if not any(tolerates(one, taint) for one in tolerations)]
        stays = "NoExecute" not in effects
        return Suits(begins=stays and "NoSchedule" not in effects, stays=stays)

    return suits


def shown(node: Object) -> tuple[Any, ...]:
    """What of a node decides about daemons: a change of anything else wakes nobody."""
    spec = node.get("spec") or {}
    return name_of(node), labels_of(node), spec.get("taints"), spec.get("unschedulable")


def _chooses(spec: Mapping[str, Any], node: Object) -> bool:
    name, labels = name_of(node), labels_of(node)
    if spec.get("nodeName") and spec["nodeName"] != name:
        return False
    if any(labels.get(key) != wanted for key, wanted in (spec.get("nodeSelector") or {}).items()):
        return False
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    if required is None:
        return True
    terms: Sequence[Object] = required.get("nodeSelectorTerms") or ()
    return any(matches_node_selector_term(term, labels, name) for term in terms)


def with_tolerations(spec: Mapping[str, Any]) -> list[Object]:
    """The template's tolerations and those of every daemon."""
    said = list(spec.get("tolerations") or ())
    added = [*TOLERATIONS, *([_NETWORK] if spec.get("hostNetwork") else [])]
    return said + [toleration for toleration in added if toleration not in said]


def new_pod(daemonset: Object, revision: Mapping[str, Any], label: str, node: str) -> Object:
    """The pod for that node, from the template of `revision`, whose hash is under `label`."""
    pod = pod_from(template_of(revision), daemonset)
    labels = {**labels_of(pod), POD_REVISION: labels_of(revision)[label]}
    generation = annotations_of(daemonset).get(GENERATION)
    if generation:
        labels[POD_GENERATION] = generation
    spec = {**pod["spec"], "tolerations": with_tolerations(pod["spec"]), "affinity": _bound_to(pod["spec"], node)}
    return {**pod, "metadata": {**pod["metadata"], "labels": labels}, "spec": spec}


def _bound_to(spec: Mapping[str, Any], node: str) -> Object:
    """The template's affinity, with that node in place of what nodes it requires: those have been asked already."""
    affinity = spec.get("affinity") or {}
    term = {"matchFields": [{"key": NAME_FIELD, "operator": "In", "values": [node]}]}
    return {
        **affinity,
        "nodeAffinity": {**(affinity.get("nodeAffinity") or {}), _REQUIRED: {"nodeSelectorTerms": [term]}},
    }


def node_of(pod: Mapping[str, Any]) -> str:
    """The node that a daemon's pod is on, or is for; "" if nothing says."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    required = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == NAME_FIELD and field.get("operator") == "In" and len(field.get("values") or ()) == 1:
                return str(field["values"][0])
    return ""
