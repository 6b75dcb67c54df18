"""Facts about pods that several rooms ask for: readiness, what they request, their QoS class. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.api.objects import condition_of, parse_timestamp
from tiphys.api.quantity import milli, value

Pod = Mapping[str, Any]
Container = Mapping[str, Any]

FINISHED = ("Succeeded", "Failed")


def is_ready(pod: Pod) -> bool:
    """The Ready condition is True."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready":
            return bool(condition["status"] == "True")
    return False


def seconds_until_available(pod: Pod, min_ready_seconds: int, now: float) -> float | None:
    """How long it must still be ready to count as available: 0 if it does, None while it is not ready."""
    condition = condition_of(pod, "Ready") or {}
    if condition.get("status") != "True":
        return None
    since = condition.get("lastTransitionTime")
    if not min_ready_seconds or not since:
        return 0.0
    return max(float(min_ready_seconds) - (now - parse_timestamp(since)), 0.0)


def is_available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    """Ready, and for at least that long."""
    return seconds_until_available(pod, min_ready_seconds, now) == 0.0


def is_finished(pod: Pod) -> bool:
    """No container of it will ever run again."""
    return (pod.get("status") or {}).get("phase") in FINISHED


def is_active(pod: Pod) -> bool:
    """Neither finished nor on its way out: what a controller counts."""
    return not is_finished(pod) and not pod["metadata"].get("deletionTimestamp")


def is_sidecar(container: Container) -> bool:
    """An init container that goes on running beside the main ones."""
    return container.get("restartPolicy") == "Always"


RESTART_ALL = "RestartAllContainers"


def restart_rule(container: Container, exit_code: int) -> str:
    """The action of the first of a container's own rules that an exit code meets; "" if there is none."""
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or ())
        if listed == (codes.get("operator") == "In"):
            return str(rule.get("action") or "")
    return ""


def may_restart_all(containers: Iterable[Container]) -> bool:
    """Whether the end of one of them can make all containers of the pod begin anew."""
    rules = (rule for container in containers for rule in container.get("restartPolicyRules") or ())
    return any(rule.get("action") == RESTART_ALL for rule in rules)


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether one toleration lets its pod stand one taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    wanted, held = toleration.get("value") or "", taint.get("value") or ""
    if operator == "Equal":
        return bool(toleration.get("key")) and bool(wanted == held)
    if operator in ("Lt", "Gt") and _is_whole(wanted) and _is_whole(held):
        return int(held) < int(wanted) if operator == "Lt" else int(held) > int(wanted)
    return False


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


# requests

Amounts = dict[str, int]


def _amounts(quantities: Mapping[str, Any] | None) -> Amounts:
    """Milli-CPU for "cpu", whole units (bytes, pieces) for the rest."""
    if not quantities:
        return {}
    return {name: milli(str(q)) if name == "cpu" else value(str(q)) for name, q in quantities.items()}


def requests_of(pod: Pod) -> Amounts:
    """
    What the scheduler sets aside for a pod: milli-CPU and bytes by resource name.

    The larger of what the main containers and sidecars need together and what any moment of the start needs; requests
    of the pod as a whole replace that; the overhead comes on top.
    """
    return _effective(pod, "requests")


def limits_of(pod: Pod) -> Amounts:
    """The same of limits, where there are any."""
    return _effective(pod, "limits")


def _effective(pod: Pod, what: str) -> Amounts:
    spec = pod["spec"]
    total: Amounts = {}
    for container in spec["containers"]:
        _add(total, _wanted(container, what))
    if spec.get("initContainers"):
        _start(spec["initContainers"], total, what)
    own = (spec.get("resources") or {}).get(what)
    if own:
        total |= _amounts(own)
    overhead = spec.get("overhead")
    if overhead:
        _add(
            total, {name: amount for name, amount in _amounts(overhead).items() if what == "requests" or name in total}
        )
    return total


def _wanted(container: Container, what: str) -> Amounts:
    return _amounts((container.get("resources") or {}).get(what))


def _start(init_containers: Iterable[Container], total: Amounts, what: str) -> None:
    """Raise `total` to what the start needs: each init container runs beside the sidecars before it."""
    beside: Amounts = {}
    peak: Amounts = {}
    for container in init_containers:
        needed = _wanted(container, what)
        if is_sidecar(container):
            _add(beside, needed)
            _add(total, needed)
            _raise(peak, beside)
        else:
            _add(needed, beside)
            _raise(peak, needed)
    _raise(total, peak)


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: Amounts, floor: Amounts) -> None:
    for name, amount in floor.items():
        if amount > total.get(name, 0):
            total[name] = amount


# quality of service

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_COMPUTE = ("cpu", "memory")


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort; what the status says if it says it."""
    told = (pod.get("status") or {}).get("qosClass")
    return str(told) if told else qos_class_of(pod["spec"])


def qos_class_of(spec: Mapping[str, Any]) -> str:
    """The class that requests and limits give. Only cpu and memory count, and zero is as good as nothing."""
    whole = spec.get("resources") or {}
    holders = [whole] if whole.get("requests") or whole.get("limits") else _resources(spec)
    guaranteed, asked = True, False
    for resources in holders:
        requested, limited = _compute(resources.get("requests")), _compute(resources.get("limits"))
        asked = asked or bool(requested) or bool(limited)
        requested = {**limited, **requested}
        guaranteed = guaranteed and len(limited) == len(_COMPUTE) and requested == limited
    if not asked:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def _resources(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return [container.get("resources") or {} for container in containers]


def _compute(quantities: Mapping[str, Any] | None) -> Amounts:
    found = {name: q for name, q in (quantities or {}).items() if name in _COMPUTE}
    return {name: amount for name, amount in _amounts(found).items() if amount}
