"""What may change in a Pod once it is stored: images, a shorter deadline, more tolerations, fewer gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, required
from tiphys.api.validation.pod_diff import container_difference, spec_difference
from tiphys.api.validation.pod_spec import MIRROR
from tiphys.api.validation.values import INT32_MAX

Object = Mapping[str, Any]
CheckTolerations = Callable[[Sequence[Object], str], list[FieldError]]

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def annotation_change_errors(new: Object, old: Object) -> list[FieldError]:
    """Annotations that are part of what a pod is."""
    after, before = (each["metadata"].get("annotations") or {} for each in (new, old))
    if after == before:
        return []
    errors = []
    for key in before.keys() | after.keys():
        what = "AppArmor annotations" if key.startswith(_APPARMOR) else "mirror pod annotation" if key == MIRROR else ""
        if what and after.get(key) != before.get(key):
            verb = "remove or update" if key in before else "add"
            errors.append(forbidden(f"metadata.annotations[{key}]", f"may not {verb} {what}"))
    return errors


def change_errors(new: Object, old: Object, check_tolerations: CheckTolerations) -> list[FieldError]:
    """What a changed pod spec may not change. The first error of some kinds is the last, as in Kubernetes."""
    errors: list[FieldError] = []
    for name in ("containers", "initContainers"):
        after, before = new.get(name) or (), old.get(name) or ()
        if len(after) != len(before):
            return [*errors, forbidden(f"spec.{name}", "pod updates may not add or remove containers")]
        for index, container in enumerate(after):
            if not container.get("image"):
                errors.append(required(f"spec.{name}[{index}].image"))
    deadline, ends = _deadline_errors(new, old)
    errors += deadline
    if ends:
        return errors
    if new.get("tolerations") != old.get("tolerations"):
        errors += _toleration_errors(new, old, check_tolerations)
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for index, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'"
            errors.append(forbidden(f"spec.schedulingGates[{index}].name", text))
    errors += _gated_errors(new, old)
    fixed, before = _fixed(new, old), _fixed(old, old)
    if fixed != before:
        errors.append(forbidden("spec", f"{_CHANGEABLE}\n{spec_difference(before, fixed)}"))
    return errors


def _deadline_errors(new: Object, old: Object) -> tuple[list[FieldError], bool]:
    """Errors, and whether Kubernetes looks no further."""
    after, before = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if after is None:
        text = "must not update from a positive integer to nil value"
        return [] if before is None else [invalid(path, None, text)], False
    if not 0 <= after <= INT32_MAX:
        return [invalid(path, after, names.between(0, INT32_MAX))], True
    if before is not None and before < after:
        return [invalid(path, after, "must be less than or equal to previous value")], True
    return [], False


def _toleration_errors(new: Object, old: Object, check: CheckTolerations) -> list[FieldError]:
    after = new.get("tolerations") or ()
    for toleration in old.get("tolerations") or ():
        if not any(_without_seconds(each) == _without_seconds(toleration) for each in after):
            text = "existing toleration can not be modified except its tolerationSeconds"
            return [forbidden("spec.tolerations", text)]
    return check(after, "spec.tolerations")


def _without_seconds(toleration: Object) -> Object:
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _gated_errors(new: Object, old: Object) -> list[FieldError]:
    """While a pod is gated it may be narrowed to fewer nodes."""
    if not old.get("schedulingGates"):
        return []
    errors = []
    after, before = new.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(after.get(key) != value for key, value in before.items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.append(invalid("spec.nodeSelector", after, text))
    was, now = (((each.get("affinity") or {}).get("nodeAffinity") or {}) for each in (old, new))
    old_terms, new_terms = ((each.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [] for each in (was, now))
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    if old_terms and len(old_terms) != len(new_terms):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [*errors, invalid(path, new_terms, text)]
    for index, (term, before_term) in enumerate(zip(new_terms, old_terms, strict=False)):
        if not _only_adds(term, before_term):
            text = "only additions are allowed (no mutations or deletions)"
            errors.append(invalid(f"{path}[{index}]", term, text))
    return errors


def _only_adds(new: Object, old: Object) -> bool:
    """A term may only be narrowed: an empty one matches nothing and stays empty."""
    if not old.get("matchExpressions") and not old.get("matchFields"):
        return not new.get("matchExpressions") and not new.get("matchFields")
    return all(
        (new.get(name) or [])[: len(old.get(name) or [])] == (old.get(name) or [])
        for name in ("matchExpressions", "matchFields")
    )


def _fixed(spec: Object, old: Object) -> dict[str, Any]:
    """The spec with all that may change as the old one has it."""
    fixed = dict(spec)
    for name in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _take(fixed, old, name)
    if old.get("terminationGracePeriodSeconds", 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        _take(fixed, old, "terminationGracePeriodSeconds")
    for name in ("containers", "initContainers"):
        if name in spec:
            pairs = zip(spec[name] or (), old.get(name) or (), strict=False)
            fixed[name] = [{**container, "image": before.get("image")} for container, before in pairs]
    if old.get("schedulingGates"):
        _take(fixed, old, "nodeSelector")
        affinity = {**(spec.get("affinity") or {}), "nodeAffinity": (old.get("affinity") or {}).get("nodeAffinity")}
        fixed["affinity"] = {name: value for name, value in affinity.items() if value is not None}
    return fixed


def _take(into: dict[str, Any], source: Object, name: str) -> None:
    if name in source:
        into[name] = source[name]
    else:
        into.pop(name, None)


def ephemeral_change_errors(new: Object, old: Object) -> list[FieldError]:
    """Ephemeral containers that were there stay as they were."""
    errors = []
    path = "spec.ephemeralContainers"
    if MIRROR in (old["metadata"].get("annotations") or {}):
        errors.append(forbidden("", "static pods do not support ephemeral containers"))
    now = {each.get("name"): each for each in new["spec"].get("ephemeralContainers") or ()}
    for was in old["spec"].get("ephemeralContainers") or ():
        name = was.get("name", "")
        if name not in now:
            errors.append(forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif now[name] != was:
            lines = container_difference(was, now[name])
            errors.append(forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n{lines}'))
    return errors
