"""What an object uses of a quota: pure functions from objects to amounts by the names that ResourceQuotas know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from tiphys.api import pods, quantity
from tiphys.api.resources import Resource
from tiphys.apiserver.call import Object

Usage = dict[str, Fraction]

# Kinds that quotas also know by their bare plural.
_BARE = frozenset(
    ("configmaps", "secrets", "services", "replicationcontrollers", "resourcequotas", "persistentvolumeclaims", "pods")
)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_PLAIN_PREFIXES = ("requests.", "limits.")


def usage_of(resource: Resource, obj: Object) -> Usage:
    """What one object uses. A pod that is over, or that hangs in its deletion, uses only its place in the count."""
    plural = resource.name
    used: Usage = {f"count/{plural}.{resource.group}" if resource.group else f"count/{plural}": Fraction(1)}
    if resource.group:
        return used
    if plural == "pods":
        return used | (_pod(obj) if not pods.is_finished(obj) else {})
    if plural in _BARE:
        used[plural] = Fraction(1)
    if plural == "services":
        used |= _service(obj)
    elif plural == "persistentvolumeclaims":
        used |= _claim(obj)
    return used


def _pod(obj: Object) -> Usage:
    used: Usage = {"pods": Fraction(1)}
    for prefix, amounts in (("requests", _sum(obj, "requests")), ("limits", _sum(obj, "limits"))):
        for name, amount in amounts.items():
            used[f"{prefix}.{name}"] = amount
            if prefix == "requests" and name in _COMPUTE:
                used[name] = amount
    return used


def _sum(pod: Object, field: str) -> Usage:
    """Containers together, or one init container alone if that is more; the overhead comes on top."""
    spec = pod["spec"]
    total: Usage = {}
    for container in spec.get("containers") or ():
        for name, value in ((container.get("resources") or {}).get(field) or {}).items():
            total[name] = total.get(name, Fraction(0)) + quantity.parse(str(value))
    for container in spec.get("initContainers") or ():
        for name, value in ((container.get("resources") or {}).get(field) or {}).items():
            amount = quantity.parse(str(value))
            if pods.is_sidecar(container):
                total[name] = total.get(name, Fraction(0)) + amount
            else:
                total[name] = max(total.get(name, Fraction(0)), amount)
    for name, value in ((spec.get("resources") or {}).get(field) or {}).items():
        total[name] = quantity.parse(str(value))
    for name, value in (spec.get("overhead") or {}).items():
        if field == "requests" or name in total:
            total[name] = total.get(name, Fraction(0)) + quantity.parse(str(value))
    return total


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


def is_in_scope(quota: Object, resource: Resource, obj: Object) -> bool:
    """Whether every scope of a quota holds for the object; quotas with scopes count pods only."""
    spec = quota.get("spec") or {}
    scopes: list[Mapping[str, Any]] = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not scopes:
        return True
    is_pod = resource.name == "pods" and not resource.group
    return is_pod and all(_holds(scope, obj) for scope in scopes)


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
