"""
Whether the node takes a pod that was bound to it: the last word before anything is made. Pure.

The scheduler decides with a picture that may be old, and anybody may write spec.nodeName; so the node checks again what
would hurt it, and a pod that it refuses has failed with the kubelet's reason (OutOfcpu, NodeAffinity, …).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.api import pods, quantity
from tiphys.network.door import PortForward
from tiphys.node import translate
from tiphys.node.machine import Machine
from tiphys.node.pod import spec
from tiphys.node.pod.facts import Waiting
from tiphys.node.security import forbidden_sysctl

NOTHING = Machine()

Pod = Mapping[str, Any]
Node = Mapping[str, Any]


def refusal(
    pod: Pod, others: Iterable[Pod], node: Node, allowed_sysctls: tuple[str, ...] = (), machine: Machine = NOTHING
) -> Waiting | None:
    """Why the pod is not taken; None when it is. `others` are the pods that hold something here."""
    others = list(others)
    sysctl = forbidden_sysctl(pod, allowed_sysctls)
    if sysctl:
        return Waiting("SysctlForbidden", sysctl)
    return (
        _not_supported(pod, machine)
        or _lacks_resources(pod, others, node)
        or _wrong_node(pod, node)
        or _ports_taken(pod, others)
    )


def unexpected(cause: str) -> Waiting:
    """A pod whose devices cannot be had."""
    return Waiting("UnexpectedAdmissionError", f"Allocate failed due to {cause}, which is unexpected")


def _not_supported(pod: Pod, machine: Machine) -> Waiting | None:
    """
    A promise about security that this node does not keep is refused, never forgotten. SELinux is no promise where the
    kernel has none, as with every kubelet.
    """
    shared = pod["spec"].get("securityContext") or {}
    contexts = [shared, *(one.get("securityContext") or {} for one in spec.all_containers(pod))]
    profiles = {(context.get("appArmorProfile") or {}).get("type", "Unconfined") for context in contexts}
    if profiles - {"Unconfined"} and not machine.apparmor:
        return Waiting("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    if "RuntimeDefault" in profiles:
        return Waiting("AppArmor", "Cannot enforce AppArmor: this node has no default profile, name one of the host's")
    if machine.selinux and any(context.get("seLinuxOptions") for context in contexts):
        return Waiting("SELinux", "SELinux labels of containers are not supported on this node")
    return None


def _lacks_resources(pod: Pod, others: list[Pod], node: Node) -> Waiting | None:
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    room = int(allocatable.get("pods") or 0)
    if len(others) + 1 > room:
        text = f"Node didn't have enough resource: pods, requested: 1, used: {len(others)}, capacity: {room}"
        return Waiting("OutOfpods", text)
    held = [pods.requests_of(other) for other in others]
    for name, wanted in pods.requests_of(pod).items():
        if not wanted or name == "pods":
            continue
        offered = str(allocatable.get(name, "0"))
        capacity = quantity.milli(offered) if name == "cpu" else quantity.value(offered)
        used = sum(requests.get(name, 0) for requests in held)
        if wanted > capacity - used:
            return Waiting(
                f"OutOf{name}",
                f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}",
            )
    return None


def _wrong_node(pod: Pod, node: Node) -> Waiting | None:
    wanted = pod["spec"].get("nodeSelector") or {}
    labels = node["metadata"].get("labels") or {}
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    fits = all(labels.get(name) == value for name, value in wanted.items())
    if fits and affinity:
        fits = any(_term_matches(term, node) for term in affinity.get("nodeSelectorTerms") or ())
    if fits:
        return None
    return Waiting("NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")


def _term_matches(term: Mapping[str, Any], node: Node) -> bool:
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    expressions, of_fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not of_fields:
        return False
    return all(_holds(e, labels) for e in expressions) and all(_holds(e, fields) for e in of_fields)


def _holds(expression: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    value = values.get(expression["key"])
    wanted = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _order(value, wanted) > 0
        case "Lt":
            return _order(value, wanted) < 0
    return False


def _order(value: str | None, wanted: Sequence[str]) -> int:
    """How a label compares with the one number wanted; 0 when either is none."""
    if value is None or len(wanted) != 1:
        return 0
    try:
        return int(value) - int(wanted[0])
    except ValueError:
        return 0


def _ports_taken(pod: Pod, others: list[Pod]) -> Waiting | None:
    taken = [forward for other in others for forward in _host_ports(other)]
    if any(wanted.collides(other) for wanted in _host_ports(pod) for other in taken):
        text = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        return Waiting("NodePorts", text)
    return None


def _host_ports(pod: Pod) -> list[PortForward]:
    if not pod["spec"].get("hostNetwork"):
        return translate.port_forwards(pod)
    shown = {**pod, "spec": {**pod["spec"], "hostNetwork": False}}
    return translate.port_forwards(shown)
