"""The cells of what makes pods: deployments, sets, jobs, and their autoscaler."""

from __future__ import annotations

from typing import Any

from tiphys.api.objects import controller_of, parse_timestamp
from tiphys.apiserver.tables.words import (
    NONE,
    UNKNOWN,
    UNSET,
    Object,
    age,
    condition,
    containers,
    duration,
    labels,
    selector,
    since,
    some,
    truth,
)

# Metrics of an autoscaler that a cell names.
METRICS_NAMED_MAX = 2


def deployment(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    made_of = containers(spec["template"])
    return [_name(obj), ready, updated, available, age(obj, now), *made_of, selector(spec.get("selector"))]


def replicaset(obj: Object, now: float) -> list[Any]:
    return [*_replicas(obj, now), selector(obj["spec"].get("selector"))]


def replicationcontroller(obj: Object, now: float) -> list[Any]:
    return [*_replicas(obj, now), labels(obj["spec"].get("selector"))]


def _replicas(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [_name(obj), *counts, age(obj, now), *containers(spec.get("template") or {})]


def daemonset(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    counted = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    nodes = labels(spec["template"].get("spec", {}).get("nodeSelector"))
    counts = [status.get(name, 0) for name in counted]
    return [_name(obj), *counts, nodes, age(obj, now), *containers(spec["template"]), selector(spec.get("selector"))]


def statefulset(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [_name(obj), ready, age(obj, now), *containers(spec["template"])]


def job(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    done, parallel = status.get("succeeded", 0), spec.get("parallelism") or 0
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    else:
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    made_of = containers(spec["template"])
    times = [_job_duration(status, now), age(obj, now)]
    return [_name(obj), _job_status(obj), completions, *times, *made_of, selector(spec.get("selector"))]


def _job_status(obj: Object) -> str:
    for kind in ("Complete", "Failed"):
        if condition(obj, kind) == "True":
            return kind
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for kind, text in (("Suspended", "Suspended"), ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet",) * 2):
        if condition(obj, kind) == "True":
            return text
    return "Running"


def _job_duration(status: Object, now: float) -> str:
    begun, ended = status.get("startTime"), status.get("completionTime")
    if not begun:
        return ""
    return duration((parse_timestamp(ended) if ended else now) - parse_timestamp(begun))


def cronjob(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    last = status.get("lastScheduleTime")
    template = spec["jobTemplate"]["spec"]
    return [
        _name(obj),
        spec["schedule"],
        spec.get("timeZone") or NONE,
        truth(spec.get("suspend")),
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        *containers(template["template"]),
        selector(template.get("selector")),
    ]


def podtemplate(obj: Object, now: float) -> list[Any]:
    template = obj.get("template") or {}
    return [_name(obj), *containers(template), labels((template.get("metadata") or {}).get("labels"))]


def controllerrevision(obj: Object, now: float) -> list[Any]:
    owner = controller_of(obj)
    controller = NONE
    if owner is not None:
        group = owner["apiVersion"].rpartition("/")[0]
        kind = f"{owner['kind']}.{group}" if group else owner["kind"]
        controller = f"{kind.lower()}/{owner['name']}"
    return [_name(obj), controller, obj.get("revision", 0), age(obj, now)]


def scale(obj: Object, now: float) -> list[Any]:
    desired, present = (obj.get("spec") or {}).get("replicas", 0), (obj.get("status") or {}).get("replicas", 0)
    return [_name(obj), desired, present, age(obj, now)]


def horizontalpodautoscaler(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    target = spec["scaleTargetRef"]
    low = spec.get("minReplicas")
    return [
        _name(obj),
        f"{target['kind']}/{target['name']}",
        _metrics(spec.get("metrics") or (), status.get("currentMetrics") or ()),
        UNSET if low is None else str(low),
        spec["maxReplicas"],
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


def _metrics(wanted: Any, measured: Any) -> str:
    texts = [_metric(one, measured[i] if i < len(measured) else {}) for i, one in enumerate(wanted)]
    return some(texts, METRICS_NAMED_MAX, ", ") or NONE


def _metric(one: Object, measured: Object) -> str:
    kind = one["type"]
    key = kind[:1].lower() + kind[1:]
    if key not in one:
        return "<unknown type>"
    target, current = one[key].get("target") or {}, (measured.get(key) or {}).get("current") or {}
    if key in ("resource", "containerResource"):
        return f"{one[key]['name']}: {_use(target, current)}"
    if key == "pods":
        return f"{current.get('averageValue', UNKNOWN)}/{target.get('averageValue', '0')}"
    if target.get("averageValue") is not None:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']} (avg)"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', '0')}"


def _use(target: Object, current: Object) -> str:
    if target.get("averageValue") is not None:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']}"
    used, wanted = current.get("averageUtilization"), target.get("averageUtilization")
    left = UNKNOWN if used is None else f"{used}%"
    return f"{left}/{'<auto>' if wanted is None else f'{wanted}%'}"


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])
