"""
PodSecurity: a namespace's labels say which Pod Security Standard its pods must keep, warn of, or are audited for.

    pod-security.kubernetes.io/enforce: restricted      a pod that violates it is refused
    pod-security.kubernetes.io/warn: restricted         whoever makes the pod (or its workload) is warned

A level for warnings that is not said is the one that is enforced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import errors
from tiphys.api.validation.fields import FieldError, invalid
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, forbidden, on
from tiphys.apiserver.admission.pod_security_checks import Violation, told, violations
from tiphys.apiserver.call import Attributes, Object, Reader

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
# Existing pods that a tightened namespace is checked for, and how many are named in its warnings.
PODS_MAX = 3000
_TEMPLATES = (
    ("", "replicationcontrollers"), ("", "podtemplates"), ("apps", "replicasets"), ("apps", "deployments"),
    ("apps", "statefulsets"), ("apps", "daemonsets"), ("batch", "jobs"), ("batch", "cronjobs"),
)  # fmt: skip
_PODS = (("", "pods"), ("", "pods/ephemeralcontainers"))


def plugin(reader: Reader) -> Plugin:
    """Pods, what makes pods, and the namespaces whose labels say the level."""

    def validate(attributes: Attributes) -> None:
        obj = attributes.object
        if obj is None:
            return
        if attributes.resource.name == "namespaces":
            _check_namespace(reader, attributes, obj)
            return
        namespace = reader.get("", "namespaces", "", attributes.namespace)
        labels = (namespace or {"metadata": {}})["metadata"].get("labels") or {}
        if not any(label.startswith(PREFIX) for label in labels):
            return
        if attributes.resource.name.partition("/")[0] == "pods":
            _check_pod(attributes, obj, labels)
        else:
            template = _template_of(obj)
            if template is not None:
                _warn(attributes, template, labels)

    return Plugin("PodSecurity", on((CREATE, UPDATE), *_PODS, *_TEMPLATES, ("", "namespaces")), None, validate)


def policy(labels: Mapping[str, str], mode: str) -> tuple[str, str]:
    """(level, version) of a mode; a label that nobody understands counts as the strictest level."""
    level = labels.get(PREFIX + mode)
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    if level is None and mode == "warn":
        return policy(labels, "enforce")
    if level is None:
        return "privileged", version
    return (level if level in LEVELS else "restricted"), version


def _check_pod(attributes: Attributes, pod: Object, labels: Mapping[str, str]) -> None:
    if attributes.operation == UPDATE and not _is_significant(pod, attributes.old or {}):
        return
    level, version = policy(labels, "enforce")
    found = violations(pod["spec"], level)
    if found:
        raise forbidden(attributes, f'violates PodSecurity "{level}:{version}": {told(found)}')
    _warn(attributes, pod["spec"], labels)


def _warn(attributes: Attributes, spec: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    level, version = policy(labels, "warn")
    found = violations(spec, level)
    if found:
        attributes.warnings.append(f'would violate PodSecurity "{level}:{version}": {told(found)}')


def _is_significant(new: Object, old: Object) -> bool:
    """Of a running pod only images and ephemeral containers change in a way that matters here."""
    before, after = old.get("spec") or {}, new["spec"]
    if len(after.get("ephemeralContainers") or ()) != len(before.get("ephemeralContainers") or ()):
        return True
    return any(_images(after, kind) != _images(before, kind) for kind in ("initContainers", "containers"))


def _images(spec: Mapping[str, Any], kind: str) -> list[Any]:
    return [container.get("image") for container in spec.get(kind) or ()]


def _template_of(obj: Object) -> Mapping[str, Any] | None:
    spec = obj.get("spec") or {}
    template = obj.get("template") or spec.get("template")
    if template is None:
        template = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template")
    found: Mapping[str, Any] | None = (template or {}).get("spec")
    return found


def _check_namespace(reader: Reader, attributes: Attributes, namespace: Object) -> None:
    labels = namespace["metadata"].get("labels") or {}
    before = ((attributes.old or {}).get("metadata") or {}).get("labels") or {}
    changed = {name for name in labels if name.startswith(PREFIX) and labels[name] != before.get(name)}
    problems = [error for name in sorted(changed) if (error := _label_error(name, labels[name])) is not None]
    if problems:
        texts, causes = [str(each) for each in problems], [each.cause for each in problems]
        raise errors.invalid("Namespace", "", attributes.name, texts, causes)
    level, version = policy(labels, "enforce")
    if attributes.operation != UPDATE or not changed or (level, version) == policy(before, "enforce"):
        return
    if LEVELS.index(level) > LEVELS.index(policy(before, "enforce")[0]):
        attributes.warnings += _existing(reader, attributes.name, level, version)


def _label_error(name: str, value: str) -> FieldError | None:
    field = f"metadata.labels[{name}]"
    if name.endswith("-version"):
        major, _, minor = value.removeprefix("v").partition(".")
        if value == "latest" or (value.startswith("v") and major == "1" and minor.isdigit()):
            return None
        return invalid(field, value, 'must be "latest" or "v1.x"')
    if value in LEVELS:
        return None
    return invalid(field, value, f"must be one of {', '.join(LEVELS)}")


def _existing(reader: Reader, namespace: str, level: str, version: str) -> list[str]:
    """One warning for each set of violations that the pods have: one pod is named, the others are counted."""
    by_violation: dict[tuple[Violation, ...], list[str]] = {}
    for number, pod in enumerate(reader.list("", "pods", namespace)):
        if number >= PODS_MAX:
            break
        found = tuple((reason, "") for reason, _ in violations(pod["spec"], level))
        if found:
            by_violation.setdefault(found, []).append(pod["metadata"]["name"])
    if not by_violation:
        return []
    warnings = [
        f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{level}:{version}"'
    ]
    for found, names in by_violation.items():
        others = f" (and {len(names) - 1} other pod{'s' if len(names) > 2 else ''})" if len(names) > 1 else ""
        warnings.append(f"{names[0]}{others}: {', '.join(reason for reason, _ in found)}")
    return warnings
