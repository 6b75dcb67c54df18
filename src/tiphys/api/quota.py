"""
What objects use of a quota: pure functions from objects to amounts by the names that ResourceQuotas know.

Admission asks what one object adds before it is stored; the controller counts everything that is there. Both must come
to the same figures, so the rules are here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from tiphys.api import pods, quantity
from tiphys.api.objects import parse_timestamp
from tiphys.api.resources import Resource

Object = dict[str, Any]
Usage = dict[str, Fraction]

# Kinds that quotas also know by their bare plural.
_BARE = frozenset(
    ("configmaps", "secrets", "services", "replicationcontrollers", "resourcequotas", "persistentvolumeclaims", "pods")
)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_PLAIN_PREFIXES = ("requests.", "limits.")
_SERVICE_NAMES = frozenset(("services.nodeports", "services.loadbalancers"))
_CLASS_SUFFIXES = (
    ".storageclass.storage.k8s.io/requests.storage", ".storageclass.storage.k8s.io/persistentvolumeclaims",
)  # fmt: skip


def counts(resource: Resource, name: str) -> bool:
    """Whether objects of `resource` are what a quota's `name` is about."""
    plural, group = resource.name, resource.group
    if name.startswith("count/"):
        return name == (f"count/{plural}.{group}" if group else f"count/{plural}")
    if group:
        return False
    if plural == "pods":
        return name == "pods" or _is_of_pods(name)
    if plural == "services" and name in _SERVICE_NAMES:
        return True
    if plural == "persistentvolumeclaims" and (name == "requests.storage" or name.endswith(_CLASS_SUFFIXES)):
        return True
    return plural in _BARE and name == plural


def _is_of_pods(name: str) -> bool:
    """Compute resources, huge pages, and requests of what other vendors' devices are called."""
    prefix, dot, rest = name.partition(".")
    if not dot or prefix not in ("requests", "limits"):
        return name in _COMPUTE or name.startswith("hugepages-")
    if prefix == "requests":
        foreign = "/" in rest and not name.endswith(_CLASS_SUFFIXES)
        return rest in _COMPUTE or rest.startswith("hugepages-") or foreign
    return rest in _COMPUTE


def usage_of(resource: Resource, obj: Object, now: float = 0.0) -> Usage:
    """What one object uses. A pod that is over, or that hangs in its deletion, uses only its place in the count."""
    plural = resource.name
    used: Usage = {f"count/{plural}.{resource.group}" if resource.group else f"count/{plural}": Fraction(1)}
    if resource.group:
        return used
    if plural == "pods":
        return used | (_pod(obj) if not pods.is_finished(obj) and now <= hangs_from(obj, now) else {})
    if plural in _BARE:
        used[plural] = Fraction(1)
    if plural == "services":
        used |= _service(obj)
    elif plural == "persistentvolumeclaims":
        used |= _claim(obj)
    return used


def hangs_from(pod: Object, never: float) -> float:
    """When a pod that is being deleted counts no more: its grace after it should have gone. `never` for others."""
    meta = pod["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("deletionGracePeriodSeconds") is None:
        return never
    return parse_timestamp(meta["deletionTimestamp"]) + float(meta["deletionGracePeriodSeconds"])


def _pod(obj: Object) -> Usage:
    used: Usage = {"pods": Fraction(1)}
    for prefix, amounts in (("requests", pods.requests_of(obj)), ("limits", pods.limits_of(obj))):
        for name, amount in amounts.items():
            exact = Fraction(amount, 1000) if name == "cpu" else Fraction(amount)
            used[f"{prefix}.{name}"] = exact
            if prefix == "requests" and (name in _COMPUTE or name.startswith("hugepages-")):
                used[name] = exact
    return used


def _service(obj: Object) -> Usage:
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type", "ClusterIP"), spec.get("ports") or ()
    used: Usage = {"services.nodeports": Fraction(0), "services.loadbalancers": Fraction(0)}
    if kind == "NodePort":
        used["services.nodeports"] = Fraction(len(ports))
    elif kind == "LoadBalancer":
        used["services.loadbalancers"] = Fraction(1)
        if spec.get("allocateLoadBalancerNodePorts") is not False:
            used["services.nodeports"] = Fraction(len(ports))
        else:
            used["services.nodeports"] = Fraction(sum(1 for port in ports if port.get("nodePort")))
    return used


def _claim(obj: Object) -> Usage:
    spec = obj.get("spec") or {}
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    amount = quantity.parse(str(asked)) if asked is not None else Fraction(0)
    used: Usage = {"requests.storage": amount}
    if spec.get("storageClassName"):
        prefix = f"{spec['storageClassName']}.storageclass.storage.k8s.io"
        used |= {f"{prefix}/requests.storage": amount, f"{prefix}/persistentvolumeclaims": Fraction(1)}
    return used


def written(amount: Fraction, hard: str) -> str:
    """An amount in the units of its limit."""
    return quantity.written(amount, "binary" if hard.endswith("i") else "decimal")


def is_in_scope(quota: Object, resource: Resource, obj: Object) -> bool:
    """Whether every scope of a quota holds for the object; quotas with scopes count pods, and claims by their class."""
    spec = quota.get("spec") or {}
    scopes: list[Mapping[str, Any]] = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not scopes:
        return True
    holds = {"pods": _holds, "persistentvolumeclaims": _holds_for_claim}.get(resource.name)
    return holds is not None and not resource.group and all(holds(scope, obj) for scope in scopes)


def _holds(scope: Mapping[str, Any], pod: Object) -> bool:
    name, spec = scope.get("scopeName"), pod["spec"]
    if name in ("Terminating", "NotTerminating"):
        ends = spec.get("activeDeadlineSeconds") is not None
        return ends is (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        return (pods.qos_class(pod) == "BestEffort") is (name == "BestEffort")
    if name == "CrossNamespacePodAffinity":
        return _crosses_namespaces(spec)
    if name == "PriorityClass":
        return _selects(scope, spec.get("priorityClassName", ""))
    return False


def _holds_for_claim(scope: Mapping[str, Any], claim: Object) -> bool:
    if scope.get("scopeName") != "VolumeAttributesClass":
        return False
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    asked = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    # A claim on its way from one class to another counts for all of them.
    names = (spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"), asked)
    return any(_selects(scope, name) for name in {name or "" for name in names if name} or {""})


def _selects(scope: Mapping[str, Any], value: str) -> bool:
    operator, values = scope.get("operator"), scope.get("values") or ()
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    return bool(value) is (operator == "Exists")


def _crosses_namespaces(spec: Mapping[str, Any]) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        needed = list(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        needed += [each["podAffinityTerm"] for each in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in needed):
            return True
    return False


def unsaid(pod: Object, names: Sequence[str]) -> str:
    """
    Which containers do not say what a quota counts; empty if all do.

    A pod that says it as a whole has said it for its containers.
    """
    found: dict[str, list[str]] = {}
    own = _said(pod["spec"].get("resources") or {})
    for container in (*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())):
        said = _said(container.get("resources") or {}) | own
        for name in names:
            if _is_compute(name) and name not in said:
                found.setdefault(name, []).append(container["name"])
    return "; ".join(f"{name} for: {','.join(containers)}" for name, containers in sorted(found.items()))


def _is_compute(name: str) -> bool:
    return name in _COMPUTE or (name.startswith(_PLAIN_PREFIXES) and name.partition(".")[2] in _COMPUTE)


def _said(resources: Mapping[str, Any]) -> set[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    plain = {name for name in requests if name in _COMPUTE}
    return plain | {f"requests.{name}" for name in requests} | {f"limits.{name}" for name in limits}
