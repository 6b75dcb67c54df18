"""A Pod resized in place: CPU and memory of its containers change, its QoS class does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.pods import qos_class_of
from tiphys.api.validation.fields import FieldError, forbidden, invalid
from tiphys.api.validation.pod_spec import MIRROR

Object = Mapping[str, Any]

_GROUPS = ("containers", "initContainers")
_MUTABLE = ("cpu", "memory")


def resize_errors(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """What a resize may not do."""
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden("", "static pods cannot be resized")]
    if (old["spec"].get("os") or {}).get("name") == "windows":
        return [forbidden("", "windows pods cannot be resized")]
    errors: list[FieldError] = []
    for name in _GROUPS:
        after, before = (spec.get(name) or () for spec in (new["spec"], old["spec"]))
        if len(after) != len(before):
            return [forbidden(f"spec.{name}", "containers may not be added or removed")]
        for index, (container, was) in enumerate(zip(after, before, strict=True)):
            if container.get("name") != was.get("name"):
                return [forbidden(f"spec.{name}[{index}].name", "containers may not be renamed or reordered")]
            errors += _removal_errors(container, was, f"spec.{name}[{index}].resources")
            errors += _init_errors(container, was, name, index)
    kind = qos_class_of(old["spec"])
    if qos_class_of(new["spec"]) != kind:
        text = "Pod QOS Class may not change as a result of resizing"
        errors.insert(0, invalid("spec", (old.get("status") or {}).get("qosClass", kind), text))
    if _rest(new["spec"]) != _rest(old["spec"]):
        errors.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return errors


def _init_errors(container: Object, was: Object, name: str, index: int) -> list[FieldError]:
    if name == "containers" or container.get("restartPolicy") == "Always":
        return []
    if container.get("resources") == was.get("resources"):
        return []
    text = "resources for non-sidecar init containers are immutable"
    return [forbidden(f"spec.{name}[{index}].resources", text)]


def _removal_errors(container: Object, was: Object, path: str) -> list[FieldError]:
    errors = []
    after, before = container.get("resources") or {}, was.get("resources") or {}
    for kind in ("limits", "requests"):
        gone = (before.get(kind) or {}).keys() - (after.get(kind) or {}).keys()
        if gone & set(_MUTABLE):
            errors.append(forbidden(f"{path}.{kind}", f"resource {kind} cannot be removed"))
    return errors


def _rest(spec: Object) -> dict[str, Any]:
    """The spec without what a resize may change."""
    rest = dict(spec)
    for name in _GROUPS:
        if name in spec:
            rest[name] = [_container_rest(container) for container in spec[name] or ()]
    if "resources" in spec:
        rest["resources"] = _resources_rest(spec["resources"])
    return rest


def _container_rest(container: Object) -> dict[str, Any]:
    rest = {name: value for name, value in container.items() if name != "resizePolicy"}
    rest["resources"] = _resources_rest(container.get("resources") or {})
    return rest


def _resources_rest(resources: Object) -> dict[str, Any]:
    rest = {name: value for name, value in resources.items() if name not in ("limits", "requests")}
    for kind in ("limits", "requests"):
        kept = {name: value for name, value in (resources.get(kind) or {}).items() if name not in _MUTABLE}
        if kept:
            rest[kind] = kept
    return rest
