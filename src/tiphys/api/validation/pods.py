"""Is a Pod or PodTemplate valid: new, changed, and through the subresources of a Pod."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api.pods import may_restart_all, restart_rule
from tiphys.api.validation import names
from tiphys.api.validation.containers import padded_image_errors
from tiphys.api.validation.fields import FieldError, forbidden, invalid
from tiphys.api.validation.pod_changes import annotation_change_errors, change_errors, ephemeral_change_errors
from tiphys.api.validation.pod_resize import resize_errors
from tiphys.api.validation.pod_spec import pod_annotation_errors, spec_errors, template_errors
from tiphys.api.validation.scheduling import toleration_list_errors
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import IMMUTABLE, name_errors

_NOT_NEGATIVE = "must be a non-negative integer"
_SYSTEM_CONDITIONS = frozenset(("PodScheduled", "Ready", "Initialized"))


def _whole(pod: Object) -> list[FieldError]:
    """What holds for new and changed pods: spec and annotations, and what templates are let pass with."""
    spec, metadata = pod["spec"], pod["metadata"]
    errors: list[FieldError] = []
    if metadata.get("annotations"):
        errors += pod_annotation_errors(metadata["annotations"], spec, "metadata.annotations")
    errors += spec_errors(spec, "spec", metadata.get("name", ""))
    if not spec.get("serviceAccountName"):
        errors += _token_errors(spec)
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            errors += padded_image_errors(container, f"spec.{group}[{index}]")
    return errors


def _token_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    text = "must not be specified when serviceAccountName is not set"
    return [
        forbidden(f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken", text)
        for index, volume in enumerate(spec.get("volumes") or ())
        for position, source in enumerate((volume.get("projected") or {}).get("sources") or ())
        if "serviceAccountToken" in source
    ]


def create(pod: Object) -> list[FieldError]:
    """A new Pod."""
    errors = _whole(pod)
    spec = pod["spec"]
    if spec.get("ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("schedulingGates") and spec.get("nodeName"):
        errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors


def update(new: Object, old: Object) -> list[FieldError]:
    """A changed Pod. Where the spec is the same nothing of it needs another look."""
    errors = _whole(new) if new["spec"] != old["spec"] else []
    errors += annotation_change_errors(new, old)
    if new["spec"] == old["spec"]:
        return errors
    return errors + change_errors(new["spec"], old["spec"], toleration_list_errors)


def update_status(new: Object, old: Object) -> list[FieldError]:
    """The status of a Pod, as the node agent and the scheduler write it."""
    errors = annotation_change_errors(new, old)
    spec, status, before = new["spec"], new.get("status") or {}, old.get("status") or {}
    for index, condition in enumerate(status.get("conditions") or ()):
        where = f"status.conditions[{index}]"
        if condition.get("observedGeneration", 0) < 0:
            errors.append(invalid(f"{where}.observedGeneration", condition["observedGeneration"], _NOT_NEGATIVE))
        if condition.get("type") not in _SYSTEM_CONDITIONS:
            errors += name_errors(condition.get("type", ""), f"{where}.Type", names.qualified_name)
    if status.get("observedGeneration", 0) < 0:
        errors.append(invalid("status.observedGeneration", status["observedGeneration"], _NOT_NEGATIVE))
    errors += _nomination_errors(spec, status, before)
    if status.get("qosClass", "") != before.get("qosClass", ""):
        errors.append(invalid("status.qosClass", status.get("qosClass", ""), IMMUTABLE))
    for name in ("containerStatuses", "initContainerStatuses"):
        errors += _resurrection_errors(spec, name, status, before)
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    for index, claim in enumerate(status.get("resourceClaimStatuses") or ()):
        if claim.get("name") not in known:
            text = "must match the name of an entry in `spec.resourceClaims`"
            errors.append(invalid(f"status.resourceClaimStatuses[{index}].name", claim.get("name", ""), text))
    errors += _address_errors(status, before, "podIP")
    return errors + _address_errors(status, before, "hostIP")


def _nomination_errors(spec: Object, status: Object, before: Object) -> list[FieldError]:
    node = status.get("nominatedNodeName", "")
    if node == before.get("nominatedNodeName", "") or not node:
        return []
    errors = name_errors(node, "status.nominatedNodeName", names.dns_subdomain)
    if spec.get("nodeName"):
        text = "may not be set on pods that are already bound to a node"
        errors.append(forbidden("status.nominatedNodeName", text))
    return errors


def _resurrection_errors(spec: Object, name: str, status: Object, before: Object) -> list[FieldError]:
    """A container that has ended for good does not begin again."""
    if any(may_restart_all(spec.get(group) or ()) for group in ("containers", "initContainers")):
        return []
    group = "initContainers" if name == "initContainerStatuses" else "containers"
    own: dict[Any, Object] = {each.get("name"): each for each in spec.get(group) or ()}
    now = {each.get("name"): each for each in status.get(name) or ()}
    errors = []
    for index, was in enumerate(before.get(name) or ()):
        ended = (was.get("state") or {}).get("terminated")
        container = own.get(was.get("name")) or {}
        policy = container.get("restartPolicy") or spec.get("restartPolicy")
        if ended is None or policy == "Always" or (policy == "OnFailure" and ended.get("exitCode")):
            continue
        if restart_rule(container, ended.get("exitCode") or 0):
            continue
        after = now.get(was.get("name"))
        if after is not None and "terminated" not in (after.get("state") or {}):
            text = "may not be transitioned to non-terminated state"
            errors.append(forbidden(f"status.{name}[{index}].state", text))
    return errors


def _address_errors(status: Object, before: Object, name: str) -> list[FieldError]:
    """One address of each family at most; the first is the one that the singular field has."""
    plural = f"{name}s"
    if status.get(plural) == before.get(plural) and status.get(name) == before.get(name):
        return []
    addresses: Sequence[Mapping[str, str]] = status.get(plural) or ()
    errors: list[FieldError] = []
    for index, each in enumerate(addresses):
        errors += name_errors(each.get("ip", ""), f"status.{plural}[{index}].ip", names.ip_address)
    if name == "hostIP" and addresses and status.get(name) != addresses[0].get("ip"):
        text = "must be equal to `hostIP`"
        errors.append(invalid(f"status.{plural}[0].ip", addresses[0].get("ip", ""), text))
    if errors:
        return errors
    families = [ipaddress.ip_address(each["ip"]).version for each in addresses]
    if len(families) != len(set(families)):
        shown = [{"IP": each["ip"]} for each in addresses]
        text = "may specify no more than one IP for each IP family"
        errors.append(invalid(f"status.{plural}", shown, text))
    return errors


def update_ephemeral_containers(new: Object, old: Object) -> list[FieldError]:
    """Ephemeral containers are added, never changed or removed."""
    return _whole(new) + annotation_change_errors(new, old) + ephemeral_change_errors(new, old)


def update_resize(new: Object, old: Object) -> list[FieldError]:
    """Requests and limits of CPU and memory change in place."""
    return _whole(new) + annotation_change_errors(new, old) + resize_errors(new, old)


def template(obj: Object) -> list[FieldError]:
    """A PodTemplate."""
    return template_errors(obj.get("template") or {}, "template")


def template_update(new: Object, old: Object) -> list[FieldError]:
    return template(new)


VALIDATORS: Mapping[tuple[str, str], Validator] = {
    ("", "pods"): Validator(
        create=create,
        update=update,
        subresources={
            "status": update_status,
            "ephemeralcontainers": update_ephemeral_containers,
            "resize": update_resize,
        },
    ),
    ("", "podtemplates"): Validator(create=template, update=template_update),
}
