"""Are Namespaces and Nodes valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiphys.api import json_reader, quantity
from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.validation.internal import internal
from tiphys.api.validation.resource_names import is_integer_resource
from tiphys.api.validation.validator import Object, Validator

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))
_AVOID_PODS = "scheduler.alpha.kubernetes.io/preferAvoidPods"


def namespace(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, each in enumerate((obj.get("spec") or {}).get("finalizers") or ()):
        path = f"spec.finalizers[{index}]"
        errors += [invalid(path, each, text) for text in names.qualified_name(each)]
        if "/" not in each and each not in _STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(path, each, text))
    return errors


def namespace_status(new: Object, old: Object) -> list[FieldError]:
    """The phase says whether the namespace goes."""
    phase = (new.get("status") or {}).get("phase", "")
    if not new["metadata"].get("deletionTimestamp"):
        if phase != "Active":
            return [invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")]
    elif phase != "Terminating":
        return [invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
    return []


def namespace_finalize(new: Object, old: Object) -> list[FieldError]:
    return namespace(new)


def node(obj: Object) -> list[FieldError]:
    """Taints, resources and networks of pods."""
    spec = obj.get("spec") or {}
    errors = _annotation_errors(obj) + taint_errors(spec.get("taints") or (), "metadata.taints")
    errors += _resource_errors(obj.get("status") or {})
    ranges = spec.get("podCIDRs") or []
    for index, each in enumerate(ranges):
        errors += [invalid(f"spec.podCIDRs[{index}]", each, text) for text in names.cidr(each)]
    if len(ranges) > 1:
        versions = {":" in each for each in ranges}
        if len(versions) < 2 or len(ranges) > 2:
            text = "may specify no more than one CIDR for each IP family"
            errors.append(invalid("spec.podCIDRs", ranges, text))
    return errors


def _annotation_errors(obj: Object) -> list[FieldError]:
    said = (obj["metadata"].get("annotations") or {}).get(_AVOID_PODS)
    if not said:
        return []
    try:
        json_reader.read(said.encode())
    except json_reader.JSONError as error:
        return [invalid("metadata.annotations.AvoidPods", _AVOID_PODS, str(error))]
    return []


def taint_errors(taints: Sequence[Object], path: str) -> list[FieldError]:
    """Keys, values, effects, and no two of the same key and effect."""
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        where, key, value, effect = (
            f"{path}[{index}]",
            taint.get("key", ""),
            taint.get("value", ""),
            taint.get("effect"),
        )
        errors += [invalid(f"{where}.key", key, text) for text in names.qualified_name(key)]
        problems = names.label_value(value)
        if problems:
            errors.append(invalid(f"{where}.value", value, ";".join(problems)))
        if not effect:
            errors.append(required(f"{where}.effect"))
        elif effect not in TAINT_EFFECTS:
            errors.append(not_supported(f"{where}.effect", effect, TAINT_EFFECTS, is_set=False))
        if (key, effect or "") in seen:
            twice = duplicate(where, internal(taint, "core.v1.Taint"))
            text = f"{twice.text}: taints must be unique by key and effect pair"
            errors.append(FieldError(twice.field, twice.reason, text))
        seen.add((key, effect or ""))
    return errors


def _resource_errors(status: Mapping[str, Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    for listed in ("capacity", "allocatable"):
        for name, amount in (status.get(listed) or {}).items():
            errors += amount_errors(name, amount, f"status.{listed}.{name}")
    return errors


def amount_errors(name: str, amount: str, path: str) -> list[FieldError]:
    """An amount is never negative, and whole where the resource comes in pieces."""
    exact = quantity.parse(amount)
    errors = []
    if exact < 0:
        errors.append(invalid(path, amount, "must be greater than or equal to 0"))
    if exact.denominator != 1 and is_integer_resource(name):
        errors.append(invalid(path, amount, "must be an integer"))
    return errors


def node_update(new: Object, old: Object) -> list[FieldError]:
    """The network of its pods and the machine behind a node are set once."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    status = new.get("status") or {}
    errors = _annotation_errors(new) + _resource_errors(status)
    addresses = status.get("addresses") or []
    for index, each in enumerate(addresses):
        if each in addresses[:index]:
            errors.append(duplicate(f"status.addresses[{index}]", internal(each, "core.v1.NodeAddress")))
    if before.get("podCIDRs") and before["podCIDRs"] != spec.get("podCIDRs"):
        text = 'node updates may not change podCIDR except from "" to valid'
        errors.append(forbidden("spec.podCIDRs", text))
    if before.get("providerID") and before["providerID"] != spec.get("providerID"):
        text = 'node updates may not change providerID except from "" to valid'
        errors.append(forbidden("spec.providerID", text))
    return errors + taint_errors(spec.get("taints") or (), "metadata.taints")


def node_main_update(new: Object, old: Object) -> list[FieldError]:
    """Outside of the status a changed node is checked as a new one and as a changed one, in Kubernetes too."""
    return node(new) + node_update(new, old)


VALIDATORS = {
    ("", "namespaces"): Validator(
        namespace,
        name=names.dns_label,
        subresources={"status": namespace_status, "finalize": namespace_finalize},
    ),
    ("", "nodes"): Validator(node, node_main_update, subresources={"status": node_update}),
}
