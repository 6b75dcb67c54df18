"""
The containers of a pod: regular ones, init containers and sidecars, and ephemeral ones.

What all of them share comes first in the answer, as in Kubernetes, then what their kind may not have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.amounts import resize_policy_errors, resource_errors
from tiphys.api.validation.environment import environment_errors
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, not_found, not_supported, required
from tiphys.api.validation.mounts import Volumes, device_errors, mount_errors
from tiphys.api.validation.probes import PROBES, lifecycle_errors, probe_errors
from tiphys.api.validation.security import container_context_errors
from tiphys.api.validation.values import choice_errors, name_errors, option_errors, port_errors

Container = Mapping[str, Any]

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_ACTIONS = ("Restart", "RestartAllContainers")
_RULES_MAX, _CODES_MAX = 20, 255
_NOT_INIT = "may not be set for init containers without restartPolicy=Always"
_NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"
# In the order of the struct.
_NEVER_EPHEMERAL = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", *PROBES, "lifecycle",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container must fit to: facts of its pod."""

    volumes: Volumes
    claims: Collection[str]
    grace_seconds: int
    restart_policy: str
    host_users: bool


def container_list_errors(containers: Sequence[Container], path: str, around: Surroundings) -> list[FieldError]:
    """The regular containers, of which there must be one."""
    if not containers:
        return [required(path)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        where, name = f"{path}[{index}]", container.get("name", "")
        errors += _shared_errors(container, where, around)
        if name in seen:
            errors.append(duplicate(f"{where}.name", name))
        seen.add(name)
        errors += _life_errors(container, where, around)
        errors += _restart_errors(container, where)
    return errors + _host_port_errors(enumerate(containers), path)


def init_container_errors(spec: Mapping[str, Any], path: str, around: Surroundings) -> list[FieldError]:
    """Init containers; one that restarts always is a sidecar and may have probes and hooks."""
    errors: list[FieldError] = []
    seen = {container.get("name", "") for container in spec.get("containers") or ()}
    for index, container in enumerate(spec["initContainers"]):
        where, name = f"{path}[{index}]", container.get("name", "")
        errors += _shared_errors(container, where, around)
        if name in seen:
            errors.append(duplicate(f"{where}.name", name))
        elif name:
            seen.add(name)
        errors += _host_port_errors(((index, container),), path)
        if container.get("restartPolicy") == "Always":
            errors += _life_errors(container, where, around)
        else:
            errors += [forbidden(f"{where}.{each}", _NOT_INIT) for each in ("lifecycle", *PROBES) if each in container]
        errors += _restart_errors(container, where)
    return errors


def ephemeral_container_errors(spec: Mapping[str, Any], path: str, around: Surroundings) -> list[FieldError]:
    """Ephemeral containers come and go beside the pod's life, so they have no part in it."""
    errors: list[FieldError] = []
    others = {each.get("name", "") for group in ("containers", "initContainers") for each in spec.get(group) or ()}
    seen = set(others)
    for index, container in enumerate(spec["ephemeralContainers"]):
        where, name = f"{path}[{index}]", container.get("name", "")
        errors += _shared_errors(container, where, around)
        errors += padded_image_errors(container, where)
        if name in seen:
            errors.append(duplicate(f"{where}.name", name))
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            errors.append(not_found(f"{where}.targetContainerName", target))
        errors += [forbidden(f"{where}.{each}", _NOT_EPHEMERAL) for each in _NEVER_EPHEMERAL if container.get(each)]
        for position, mount in enumerate(container.get("volumeMounts") or ()):
            part = f"{where}.volumeMounts[{position}]"
            errors += [
                forbidden(f"{part}.{each}", _NOT_EPHEMERAL) for each in ("subPath", "subPathExpr") if mount.get(each)
            ]
    return errors


def padded_image_errors(container: Container, path: str) -> list[FieldError]:
    """An image with space around it, which templates may have for history's sake."""
    image = container.get("image", "")
    if image == image.strip():
        return []
    return [invalid(f"{path}.image", image, "must not have leading or trailing whitespace")]


def _life_errors(container: Container, path: str, around: Surroundings) -> list[FieldError]:
    errors: list[FieldError] = []
    if "lifecycle" in container:
        errors += lifecycle_errors(container["lifecycle"], f"{path}.lifecycle", around.grace_seconds)
    return errors + probe_errors(container, path, around.grace_seconds)


def _shared_errors(container: Container, path: str, around: Surroundings) -> list[FieldError]:
    name = container.get("name")
    errors = name_errors(name, f"{path}.name", names.dns_label) if name else [required(f"{path}.name")]
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    policy = container.get("terminationMessagePolicy")
    if policy not in _MESSAGE_POLICIES:
        errors += choice_errors(policy, f"{path}.terminationMessagePolicy", _MESSAGE_POLICIES, is_set=False)
    if "ports" in container:
        errors += _port_list_errors(container["ports"], f"{path}.ports")
    if "env" in container or "envFrom" in container:
        errors += environment_errors(container, path)
    if "volumeMounts" in container:
        errors += mount_errors(container, path, around.volumes)
    if "volumeDevices" in container:
        errors += device_errors(container, path, around.volumes)
    policy = container.get("imagePullPolicy")
    if policy not in _PULL_POLICIES:
        errors += choice_errors(policy, f"{path}.imagePullPolicy", _PULL_POLICIES)
    if container.get("resources"):
        errors += resource_errors(container["resources"], f"{path}.resources", around.claims)
    if "resizePolicy" in container:
        errors += resize_policy_errors(container["resizePolicy"], f"{path}.resizePolicy", around.restart_policy)
    if container.get("securityContext"):
        context = container["securityContext"]
        errors += container_context_errors(context, f"{path}.securityContext", host_users=around.host_users)
    return errors


def _port_list_errors(ports: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where, name, number = f"{path}[{index}]", port.get("name"), port.get("containerPort", 0)
        if name:
            problems = name_errors(name, f"{where}.name", names.port_name)
            if not problems and name in seen:
                problems = [duplicate(f"{where}.name", name)]
            errors += problems
            seen.add(name)
        errors += port_errors(number, f"{where}.containerPort") if number else [required(f"{where}.containerPort")]
        if port.get("hostPort"):
            errors += port_errors(port["hostPort"], f"{where}.hostPort")
        errors += choice_errors(port.get("protocol"), f"{where}.protocol", _PROTOCOLS)
    return errors


def _host_port_errors(containers: Iterable[tuple[int, Container]], path: str) -> list[FieldError]:
    """Ports of the node that two ports of the pod want."""
    errors: list[FieldError] = []
    taken: set[str] = set()
    for index, container in containers:
        for position, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                wanted = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
                if wanted in taken:
                    errors.append(duplicate(f"{path}[{index}].ports[{position}].hostPort", wanted))
                taken.add(wanted)
    return errors


def _restart_errors(container: Container, path: str) -> list[FieldError]:
    """A restart policy of its own, and rules by exit code."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    if policy is None and not rules:
        return []
    where = f"{path}.restartPolicy"
    errors = option_errors(policy, where, _RESTART_POLICIES)
    if policy is None:
        errors.append(required(where, "must specify restartPolicy when restart rules are used"))
    if len(rules) > _RULES_MAX:
        errors.append(invalid(f"{where}Rules", len(rules), f"must have at most {_RULES_MAX} rules"))
    for index, rule in enumerate(rules):
        errors += _rule_errors(rule, f"{where}Rules[{index}]")
    return errors


def _rule_errors(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = choice_errors(rule.get("action"), f"{path}.action", _ACTIONS)
    codes = rule.get("exitCodes")
    if codes is None:
        return [*errors, required(f"{path}.exitCodes", "must be specified")]
    operator = codes.get("operator", "")
    if operator not in ("In", "NotIn"):
        errors.append(not_supported(f"{path}.exitCodes.operator", operator, ("In", "NotIn")))
    if len(codes.get("values") or ()) > _CODES_MAX:
        text = f"must have at most {_CODES_MAX} values"
        errors.append(invalid(f"{path}.exitCodes.values", len(codes["values"]), text))
    return errors
