"""The cells of nodes, namespaces, events, configuration, and of the rules that hold for a cluster."""

from __future__ import annotations

from typing import Any

from tiphys.apiserver.tables.words import NONE, UNKNOWN, UNSET, Object, age, condition, duration, since

_ROLE_PREFIX, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def node(obj: Object, now: float) -> list[Any]:
    status = obj.get("status") or {}
    about = status.get("nodeInfo") or {}
    return [
        _name(obj),
        _node_status(obj),
        ",".join(_roles(obj["metadata"].get("labels") or {})) or NONE,
        age(obj, now),
        about.get("kubeletVersion", ""),
        _node_address(status, "InternalIP"),
        _node_address(status, "ExternalIP"),
        about.get("osImage") or UNKNOWN,
        _kernel(about),
        about.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _kernel(about: Object) -> str:
    kernel, architecture = about.get("kernelVersion") or UNKNOWN, about.get("architecture")
    return f"{kernel} ({architecture})" if architecture else str(kernel)


def _node_status(obj: Object) -> str:
    ready = condition(obj, "Ready")
    words = ["Unknown" if not ready else "Ready" if ready == "True" else "NotReady"]
    if (obj.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(labels: Object) -> list[str]:
    roles = {name[len(_ROLE_PREFIX) :] for name in labels if name.startswith(_ROLE_PREFIX)}
    if labels.get(_ROLE_LABEL):
        roles.add(labels[_ROLE_LABEL])
    return sorted(role for role in roles if role)


def _node_address(status: Object, kind: str) -> str:
    for one in status.get("addresses") or ():
        if one["type"] == kind:
            return str(one["address"])
    return NONE


def namespace(obj: Object, now: float) -> list[Any]:
    return [_name(obj), (obj.get("status") or {}).get("phase", ""), age(obj, now)]


def event(obj: Object, now: float) -> list[Any]:
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last, count = obj.get("lastTimestamp") or first, obj.get("count", 0)
    series = obj.get("series")
    if series:
        last, count = series.get("lastObservedTime"), series.get("count", 0)
    about = obj.get("involvedObject") or {}
    kind, name = about.get("kind", "").lower(), about.get("name", "")
    return [
        since(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        about.get("fieldPath", ""),
        _event_source(obj),
        obj.get("message", "").strip(),
        since(first, now),
        count or 1,
        _name(obj),
    ]


def _event_source(obj: Object) -> str:
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent", "")
    host = source.get("host") or obj.get("reportingInstance", "")
    return f"{component}, {host}" if host else component


def configmap(obj: Object, now: float) -> list[Any]:
    return [_name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age(obj, now)]


def secret(obj: Object, now: float) -> list[Any]:
    return [_name(obj), obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


def resourcequota(obj: Object, now: float) -> list[Any]:
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        (limits if name.startswith("limits.") else requests).append(f"{name}: {used.get(name, '0')}/{hard[name]}")
    return [_name(obj), ", ".join(requests), ", ".join(limits), age(obj, now)]


def poddisruptionbudget(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bounds = [str(spec[name]) if spec.get(name) is not None else "N/A" for name in ("minAvailable", "maxUnavailable")]
    return [_name(obj), *bounds, status.get("disruptionsAllowed", 0), age(obj, now)]


def rolebinding(obj: Object, now: float) -> list[Any]:
    role, subjects = obj["roleRef"], obj.get("subjects") or ()
    accounts = [f"{one.get('namespace', '')}/{one['name']}" for one in subjects if one["kind"] == "ServiceAccount"]
    users, groups = ([one["name"] for one in subjects if one["kind"] == kind] for kind in ("User", "Group"))
    named = [", ".join(names) for names in (users, groups, accounts)]
    return [_name(obj), f"{role['kind']}/{role['name']}", age(obj, now), *named]


def certificatesigningrequest(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    seconds = spec.get("expirationSeconds")
    kinds = {one["type"] for one in status.get("conditions") or ()}
    state = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    state += ",Failed" if "Failed" in kinds else ""
    state += ",Issued" if status.get("certificate") else ""
    asked = NONE if seconds is None else duration(seconds)
    return [_name(obj), age(obj, now), spec.get("signerName") or NONE, spec.get("username", ""), asked, state]


def apiservice(obj: Object, now: float) -> list[Any]:
    service = (obj.get("spec") or {}).get("service")
    place = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    available = "Unknown"
    for one in (obj.get("status") or {}).get("conditions") or ():
        if one["type"] == "Available":
            available = one["status"]
            if available != "True" and one.get("reason"):
                available = f"{available} ({one['reason']})"
    return [_name(obj), place, available, age(obj, now)]


def lease(obj: Object, now: float) -> list[Any]:
    return [_name(obj), (obj.get("spec") or {}).get("holderIdentity") or "", age(obj, now)]


def runtimeclass(obj: Object, now: float) -> list[Any]:
    return [_name(obj), obj.get("handler", ""), age(obj, now)]


def priorityclass(obj: Object, now: float) -> list[Any]:
    told = [obj.get("value", 0), bool(obj.get("globalDefault"))]
    return [_name(obj), *told, age(obj, now), obj.get("preemptionPolicy") or ""]


def flowschema(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or NONE
    method = (spec.get("distinguisherMethod") or {}).get("type") or NONE
    missing = condition(obj, "Dangling") or "?"
    return [_name(obj), level, spec.get("matchingPrecedence", 0), method, age(obj, now), missing]


def prioritylevelconfiguration(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    limited = spec.get("limited") or {}
    shares = (limited or spec.get("exempt") or {}).get("nominalConcurrencyShares", NONE)
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    lengths = [queuing.get(name, NONE) for name in ("queues", "handSize", "queueLengthLimit")]
    return [_name(obj), spec.get("type", ""), shares, *lengths, age(obj, now)]


def webhookconfiguration(obj: Object, now: float) -> list[Any]:
    return [_name(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def admissionpolicy(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    kind = spec.get("paramKind")
    rules = spec.get("validations") or spec.get("mutations") or ()
    return [_name(obj), len(rules), f"{kind['apiVersion']}/{kind['kind']}" if kind else UNSET, age(obj, now)]


def admissionpolicybinding(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    reference = spec.get("paramRef")
    text = UNSET
    if reference:
        parts = (reference.get("namespace"), reference.get("name") or "*")
        text = "/".join([part for part in parts if part])
    return [_name(obj), spec.get("policyName", ""), text, age(obj, now)]


def resourceclaim(obj: Object, now: float) -> list[Any]:
    status = obj.get("status") or {}
    words = ["deleted"] if obj["metadata"].get("deletionTimestamp") else []
    if not status.get("allocation"):
        words.append("pending")
    else:
        words += ["allocated", *(["reserved"] if status.get("reservedFor") else [])]
    return [_name(obj), ",".join(words), age(obj, now)]


def resourceslice(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        _name(obj),
        spec.get("nodeName") or "",
        spec.get("driver", ""),
        (spec.get("pool") or {}).get("name", ""),
        age(obj, now),
    ]


def componentstatus(obj: Object, now: float) -> list[Any]:
    words = {"True": "Healthy", "False": "Unhealthy"}
    one: Object = next(iter(obj.get("conditions") or ()), {})
    return [_name(obj), words.get(one.get("status", ""), "Unknown"), one.get("message", ""), one.get("error", "")]


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])
