"""
LimitRanger: the LimitRanges of a namespace give containers requests and limits that they do not say, and refuse what is
too little, too much, or too far apart. Texts are Kubernetes' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tiphys.api import quantity
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, forbidden, on
from tiphys.apiserver.call import Attributes, Object, Reader

ANNOTATION = "kubernetes.io/limit-ranger"
CONTAINER, POD, CLAIM = "Container", "Pod", "PersistentVolumeClaim"

Quantities = Mapping[str, Any]
Constraint = Callable[[str, str, str, Quantities, Quantities], str]


def plugin(reader: Reader) -> Plugin:
    """Pods and claims."""

    def mutate(attributes: Attributes) -> None:
        if attributes.operation != CREATE or attributes.resource.name != "pods" or attributes.object is None:
            return
        for limits in _items(reader, attributes.namespace, CONTAINER):
            _set_defaults(attributes.object, limits)

    def validate(attributes: Attributes) -> None:
        obj = attributes.object
        if obj is None or (attributes.operation == UPDATE and attributes.resource.name == "pods"):
            return
        problems: list[str] = []
        if attributes.resource.name == "persistentvolumeclaims":
            requests = ((obj.get("spec") or {}).get("resources") or {}).get("requests") or {}
            for limits in _items(reader, attributes.namespace, CLAIM):
                problems += _problems(limits, CLAIM, requests, {}, claim=True)
        else:
            problems = _pod_problems(reader, attributes.namespace, obj["spec"])
        if problems:
            raise forbidden(attributes, problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")

    concerns = on((CREATE, UPDATE), ("", "pods"), ("", "persistentvolumeclaims"))
    return Plugin("LimitRanger", concerns, mutate, validate)


def _items(reader: Reader, namespace: str, kind: str) -> Iterator[Mapping[str, Any]]:
    """The limits for a kind of thing, in the namespace's LimitRanges."""
    for limit_range in reader.list("", "limitranges", namespace):
        for limits in (limit_range.get("spec") or {}).get("limits") or ():
            if limits.get("type") == kind:
                yield limits


def _containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Object]]:
    for container in spec.get("containers") or ():
        yield "container", container
    for container in spec.get("initContainers") or ():
        yield "init container", container


def _set_defaults(pod: Object, limits: Mapping[str, Any]) -> None:
    told = []
    for word, container in _containers(pod["spec"]):
        resources = container.setdefault("resources", {})
        for field, source, what in (("requests", "defaultRequest", "request"), ("limits", "default", "limit")):
            present = resources.get(field) or {}
            added = {name: value for name, value in (limits.get(source) or {}).items() if name not in present}
            if added:
                resources[field] = {**present, **added}
                told.append(f"{', '.join(sorted(added))} {what} for {word} {container['name']}")
    if told:
        annotations = pod["metadata"].get("annotations") or {}
        pod["metadata"]["annotations"] = annotations | {ANNOTATION: "LimitRanger plugin set: " + "; ".join(told)}


def _pod_problems(reader: Reader, namespace: str, spec: Mapping[str, Any]) -> list[str]:
    problems: list[str] = []
    for limits in _items(reader, namespace, CONTAINER):
        for _, container in _containers(spec):
            resources = container.get("resources") or {}
            problems += _problems(limits, CONTAINER, resources.get("requests") or {}, resources.get("limits") or {})
    for limits in _items(reader, namespace, POD):
        problems += _problems(limits, POD, _of_pod(spec, "requests"), _of_pod(spec, "limits"))
    return problems


def _of_pod(spec: Mapping[str, Any], field: str) -> Quantities:
    """What the main containers say together, or one init container alone if that is more."""
    total = _sums((each.get("resources") or {}).get(field) or {} for each in spec.get("containers") or ())
    for container in spec.get("initContainers") or ():
        for name, value in ((container.get("resources") or {}).get(field) or {}).items():
            if name not in total or quantity.compare(str(value), total[name]) > 0:
                total[name] = str(value)
    return total


def _sums(each: Iterable[Quantities]) -> dict[str, str]:
    """Only what every one of them says has a sum."""
    lists = list(each)
    names = set(lists[0]).intersection(*lists[1:]) if lists else set()
    found = {}
    for name in names:
        found[name] = "0"
        for quantities in lists:
            found[name] = quantity.total(found[name], str(quantities[name]))
    return found


def _problems(
    limits: Mapping[str, Any], kind: str, requests: Quantities, set_limits: Quantities, *, claim: bool = False
) -> list[str]:
    maximum = _too_much_requested if claim else _too_much
    checks: Sequence[tuple[str, Constraint]] = (
        ("min", _too_little), ("max", maximum), ("maxLimitRequestRatio", _too_far_apart)
    )  # fmt: skip
    problems = [
        check(kind, name, str(enforced), requests, set_limits)
        for field, check in checks
        for name, enforced in sorted((limits.get(field) or {}).items())
    ]
    return [problem for problem in problems if problem]


def _value(quantities: Quantities, name: str) -> Fraction | None:
    return quantity.parse(str(quantities[name])) if name in quantities else None


def _too_little(kind: str, name: str, enforced: str, requests: Quantities, limits: Quantities) -> str:
    text, least = f"minimum {name} usage per {kind} is {enforced}", quantity.parse(enforced)
    requested, limited = _value(requests, name), _value(limits, name)
    if requested is None:
        return f"{text}.  No request is specified"
    if requested < least:
        return f"{text}, but request is {requests[name]}"
    return f"{text}, but limit is {limits[name]}" if limited is not None and limited < least else ""


def _too_much(kind: str, name: str, enforced: str, requests: Quantities, limits: Quantities) -> str:
    text, most = f"maximum {name} usage per {kind} is {enforced}", quantity.parse(enforced)
    requested, limited = _value(requests, name), _value(limits, name)
    if limited is None:
        return f"{text}.  No limit is specified"
    if limited > most:
        return f"{text}, but limit is {limits[name]}"
    return f"{text}, but request is {requests[name]}" if requested is not None and requested > most else ""


def _too_much_requested(kind: str, name: str, enforced: str, requests: Quantities, limits: Quantities) -> str:
    text, requested = f"maximum {name} usage per {kind} is {enforced}", _value(requests, name)
    if requested is None:
        return f"{text}.  No request is specified"
    return f"{text}, but request is {requests[name]}" if requested > quantity.parse(enforced) else ""


def _too_far_apart(kind: str, name: str, enforced: str, requests: Quantities, limits: Quantities) -> str:
    text = f"{name} max limit to request ratio per {kind} is {enforced}, but"
    requested, limited = _value(requests, name), _value(limits, name)
    if not requested:
        return f"{text} no request is specified or request is 0"
    if not limited:
        return f"{text} no limit is specified or limit is 0"
    ratio = limited / requested
    return f"{text} provided ratio is {float(ratio):f}" if ratio > quantity.parse(enforced) else ""
