"""
What a client is warned of in a pod or pod template that is valid but not what it may think.

Warnings are rare, so paths are only built when there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiphys.api import quantity
from tiphys.api.strategy.apparmor import ANNOTATION_PREFIX
from tiphys.api.validation.names import dns_label

Object = dict[str, Any]

_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "seccomp.security.alpha.kubernetes.io/pod": _SECCOMP,
    "security.alpha.kubernetes.io/sysctls": _SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _SYSCTLS,
}
_SECCOMP_PREFIX = "container.seccomp.security.alpha.kubernetes.io/"
_VOLUMES = {
    "gitRepo": "deprecated in v1.11",
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_BYTES = ("memory", "ephemeral-storage")
_GROUPS = ("initContainers", "containers", "ephemeralContainers")


def of_pod(new: Object, old: Object | None) -> list[str]:
    """Warnings of a new pod. Updates have none, since people seldom change pods themselves."""
    if old is not None:
        return []
    found = []
    problems = dns_label(new["metadata"].get("name", ""))
    if problems:
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(problems)}]"
        )
    return found + of_spec(new["spec"], new["metadata"], "")


def of_pod_template(new: Object, old: Object | None) -> list[str]:
    """Warnings of a PodTemplate."""
    return of_template(new.get("template") or {}, "template.")


def of_template(template: Mapping[str, Any], prefix: str) -> list[str]:
    """Warnings of the pod template of a workload; `prefix` is its path with a dot."""
    return of_spec(template.get("spec") or {}, template.get("metadata") or {}, prefix)


def of_spec(spec: Mapping[str, Any], metadata: Mapping[str, Any], prefix: str) -> list[str]:
    """All warnings of a pod spec and its metadata, in Kubernetes' order."""
    found: list[str] = []
    if "nodeSelector" in spec:
        found += [f"{prefix}spec.nodeSelector[{key}]: {_LABELS[key]}" for key in spec["nodeSelector"] if key in _LABELS]
    if "affinity" in spec:
        found += _of_affinity(spec["affinity"], prefix)
    if "topologySpreadConstraints" in spec:
        found += _of_spread(spec["topologySpreadConstraints"], prefix)
    if metadata.get("annotations"):
        found += _of_annotations(metadata["annotations"], prefix)
    for index, volume in enumerate(spec.get("volumes") or ()):
        found += [f"{prefix}spec.volumes[{index}].{kind}: {_VOLUMES[kind]}" for kind in volume if kind in _VOLUMES]
    for name, field in (("hostAliases", "ip"), ("imagePullSecrets", "name")):
        if name in spec:
            found += _of_repeated(spec[name], f"{prefix}spec.{name}", field)
    if "overhead" in spec:
        found += _of_fractions(spec["overhead"], f"{prefix}spec.overhead")
    for group in _GROUPS:
        for index, container in enumerate(spec.get(group) or ()):
            found += _of_container(container, f"{prefix}spec.{group}", index)
            if prefix and metadata.get("annotations"):
                found += _of_apparmor(container, metadata["annotations"], prefix)
    found += _of_ports(spec, prefix)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        path = f"{prefix}spec.terminationGracePeriodSeconds"
        found.append(f"{path}: must be >= 0; negative values are invalid and will be treated as 1")
    return found


def _of_affinity(affinity: Mapping[str, Any], prefix: str) -> Iterator[str]:
    node = affinity.get("nodeAffinity") or {}
    path = f"{prefix}spec.affinity.nodeAffinity."
    required = (node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(required):
        yield from _of_term(term, f"{path}requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{index}]")
    for index, each in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        where = f"{path}preferredDuringSchedulingIgnoredDuringExecution[{index}].preference"
        yield from _of_term(each.get("preference") or {}, where)


def _of_term(term: Mapping[str, Any], path: str) -> Iterator[str]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        key = expression.get("key")
        if key in _LABELS:
            yield f"{path}.matchExpressions[{index}].key: {key} is {_LABELS[key]}"


def _of_spread(constraints: list[Object], prefix: str) -> Iterator[str]:
    for index, constraint in enumerate(constraints):
        path, key = f"{prefix}spec.topologySpreadConstraints[{index}]", constraint.get("topologyKey")
        if key in _LABELS:
            yield f"{path}.topologyKey: {key} is {_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{path}.labelSelector: a null labelSelector results in matching no pod"


def _of_annotations(annotations: Mapping[str, str], prefix: str) -> Iterator[str]:
    for key in annotations:
        text = _ANNOTATIONS.get(key) or (_SECCOMP if key.startswith(_SECCOMP_PREFIX) else "")
        if text:
            yield f"{prefix}metadata.annotations[{key}]: {text}"


def _of_apparmor(container: Mapping[str, Any], annotations: Mapping[str, str], prefix: str) -> Iterator[str]:
    key = ANNOTATION_PREFIX + container.get("name", "")
    if key in annotations and "appArmorProfile" not in (container.get("securityContext") or {}):
        text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
        yield f"{prefix}metadata.annotations[{key}]: {text}"


def _of_repeated(items: list[Object], path: str, field: str) -> Iterator[str]:
    seen = set()
    for index, item in enumerate(items):
        value = item.get(field, "")
        if value in seen:
            yield f'{path}[{index}].{field}: duplicate {field} "{value}"'
        seen.add(value)
    for index, item in enumerate(items):
        if field == "name" and not item.get(field):
            yield f'{path}[{index}].name: invalid empty name ""'


def _of_fractions(resources: Mapping[str, str], path: str) -> Iterator[str]:
    for name in _BYTES:
        # A canonical quantity has a fraction of a byte only with the suffix m (or smaller, which was rounded up).
        text = resources.get(name, "")
        if text[-1:] in ("m", "u", "n") and quantity.parse(text) % 1:
            yield f'{path}[{name}]: fractional byte value "{text}" is invalid, must be an integer'


def _of_container(container: Mapping[str, Any], path: str, index: int) -> Iterator[str]:
    resources = container.get("resources")
    if resources:
        for name in ("limits", "requests"):
            if name in resources:
                yield from _of_fractions(resources[name], f"{path}[{index}].resources.{name}")
    variables = container.get("env") or ()
    if len(variables) > 1:
        seen = set()
        for position, variable in enumerate(variables):
            name, value = variable.get("name", ""), variable.get("value", "")
            if name in seen:
                reference = f"$({name})"
                if "valueFrom" in variable or value == reference or reference not in value:
                    yield (
                        f'{path}[{index}].env[{position}]: hides previous definition of "{name}", '
                        "which may be dropped when using apply"
                    )
            seen.add(name)


def _of_ports(spec: Mapping[str, Any], prefix: str) -> list[str]:
    """Ports that several containers (or one) define again."""
    found: list[str] = []
    seen: dict[tuple[int, str], list[tuple[str, Object]]] = {}
    names: dict[str, str] = {}
    for group in _GROUPS:
        for index, container in enumerate(spec.get(group) or ()):
            for position, port in enumerate(container.get("ports") or ()):
                path = f"{prefix}spec.{group}[{index}].ports[{position}]"
                others = seen.setdefault((port.get("containerPort", 0), port.get("protocol", "")), [])
                found += [f"{path}: {text} with {where}" for where, other in others if (text := _overlap(port, other))]
                others.append((path, port))
                name = port.get("name")
                if name and name in names:
                    found.append(
                        f'{path}: duplicate port name "{name}" with {names[name]}, services and probes that select '
                        f"ports by name will use {names[name]}"
                    )
                elif name:
                    names[name] = path
    return found


def _overlap(port: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """How two definitions of the same port and protocol are in each other's way."""
    host, address = port.get("hostPort", 0), port.get("hostIP", "")
    other_host, other_address = other.get("hostPort", 0), other.get("hostIP", "")
    if (host, address) == (other_host, other_address):
        return "duplicate port definition"
    if not host or not other_host:
        return "overlapping port definition"
    if host == other_host and bool(address) != bool(other_address):
        return "dangerously ambiguous port definition"
    return ""
