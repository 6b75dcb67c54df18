"""
Is the metadata of an object valid: what holds for all kinds.

An update is checked twice in Kubernetes, once for all kinds and once more by the kind, so that a client sees each cause
of a wrong label four times and of a changed immutable field twice; that is kept. When all is well nothing is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.resources import Resource
from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, required, too_long

Object = dict[str, Any]
CheckName = Callable[[str], list[str]]

ANNOTATIONS_SIZE_MAX = 256 * 1024
_STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))
_IMMUTABLE = (
    "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip
# The groups whose finalizers need not be qualified names.
_FREE_FINALIZERS = frozenset(
    (
        "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "coordination.k8s.io",
    )
)  # fmt: skip


def validate_metadata(resource: Resource, obj: Object, name_check: CheckName | None) -> list[FieldError]:
    """What is wrong with a new object's metadata."""
    metadata = obj["metadata"]
    errors = _name_errors(metadata, name_check or names.dns_subdomain)
    if resource.namespaced:
        errors += _namespace_errors(metadata)
    errors += _content_errors(metadata)
    return errors + _kind_finalizer_errors(resource, metadata)


def validate_metadata_update(resource: Resource, new: Object, old: Object) -> list[FieldError]:
    """What is wrong with a change of metadata, each error as often as Kubernetes says it."""
    metadata, before = new["metadata"], old["metadata"]
    immutable = _immutable_errors(metadata, before)
    kind = _kind_finalizer_errors(resource, metadata)
    content = _content_errors(metadata)
    if not immutable and not kind and not content:
        return []
    repeated = [
        error for error in content if not error.field.startswith(("metadata.generation", "metadata.finalizers"))
    ]
    return [*content, *immutable, *repeated, *immutable, *repeated, *kind, *content]


def _name_errors(metadata: Object, name_check: CheckName) -> list[FieldError]:
    errors = []
    prefix = metadata.get("generateName")
    if prefix:
        errors += [invalid("metadata.generateName", prefix, text) for text in name_check(names.generated(prefix))]
    name = metadata.get("name")
    if not name:
        return [*errors, required("metadata.name", "name or generateName is required")]
    return errors + [invalid("metadata.name", name, text) for text in name_check(name)]


def _namespace_errors(metadata: Object) -> list[FieldError]:
    namespace = metadata.get("namespace")
    if not namespace:
        return [required("metadata.namespace")]
    return [invalid("metadata.namespace", namespace, text) for text in names.dns_label(namespace)]


def _content_errors(metadata: Object) -> list[FieldError]:
    """What does not depend on the kind or on what was before."""
    errors: list[FieldError] = []
    if metadata.get("generation", 0) < 0:
        text = "must be greater than or equal to 0"
        errors.append(invalid("metadata.generation", metadata["generation"], text))
    labels = metadata.get("labels")
    if labels:
        errors += label_errors(labels, "metadata.labels")
    annotations = metadata.get("annotations")
    if annotations:
        errors += annotation_errors(annotations, "metadata.annotations")
    owners = metadata.get("ownerReferences")
    if owners:
        errors += _owner_errors(owners)
    finalizers = metadata.get("finalizers")
    if finalizers:
        for each in finalizers:
            errors += [invalid("metadata.finalizers", each, text) for text in names.qualified_name(each)]
    return errors


def label_errors(labels: Mapping[str, str], path: str) -> list[FieldError]:
    """Keys and values of labels, which all stand at the one path."""
    errors: list[FieldError] = []
    for key, value in labels.items():
        errors += [invalid(path, key, text) for text in names.qualified_name(key)]
        errors += [invalid(path, value, text) for text in names.label_value(value)]
    return errors


def annotation_errors(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    """Keys and the whole size of annotations."""
    errors = [invalid(path, key, text) for key in annotations for text in names.qualified_name(key.lower())]
    size = sum(len(key) + len(value) for key, value in annotations.items())
    if size > ANNOTATIONS_SIZE_MAX // 4:  # a character has four bytes at most: only then count them
        size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        if size > ANNOTATIONS_SIZE_MAX:
            errors.append(too_long(path, ANNOTATIONS_SIZE_MAX))
    return errors


def _owner_errors(owners: Sequence[Object]) -> list[FieldError]:
    path, errors, controller = "metadata.ownerReferences", [], ""
    for owner in owners:
        errors += _owner_reference_errors(owner, path)
        if owner.get("controller"):
            mine = f"{owner['kind']}/{owner['name']}"
            if controller:
                found = f'Found "true" in references for {controller} and {mine}'
                errors.append(
                    invalid(path, list(owners), f"Only one reference can have Controller set to true. {found}")
                )
            controller = controller or mine
    return errors


def _owner_reference_errors(owner: Object, path: str) -> list[FieldError]:
    errors = []
    api_version = owner.get("apiVersion", "")
    version = api_version.rpartition("/")[2] if api_version.count("/") <= 1 else ""
    if not version:
        errors.append(invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
    errors += [
        invalid(f"{path}.{name}", "", "must not be empty") for name in ("kind", "name", "uid") if not owner.get(name)
    ]
    if api_version == "v1" and owner.get("kind") == "Event":
        errors.append(invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"))
    return errors


def _kind_finalizer_errors(resource: Resource, metadata: Object) -> list[FieldError]:
    """Most kinds want finalizers of others to be qualified names."""
    finalizers = metadata.get("finalizers")
    if not finalizers or resource.group in _FREE_FINALIZERS:
        return []
    if resources.find(resource.group, resource.version, resource.name) is None:
        return []  # custom resources have finalizers of any name
    text = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        invalid(f"metadata.finalizers[{index}]", each, text)
        for index, each in enumerate(finalizers)
        if "/" not in each and each not in _STANDARD_FINALIZERS
    ]


def _immutable_errors(metadata: Object, before: Object) -> list[FieldError]:
    errors = []
    if before.get("deletionTimestamp"):
        added = sorted(set(metadata.get("finalizers") or ()) - set(before.get("finalizers") or ()))
        if added:
            shown = ", ".join(f'"{each}"' for each in added)
            text = "no new finalizers can be added if the object is being deleted"
            errors.append(forbidden("metadata.finalizers", f"{text}, found new finalizers []string{{{shown}}}"))
    if metadata.get("generation", 0) < before.get("generation", 0):
        errors.append(invalid("metadata.generation", metadata.get("generation", 0), "must not be decremented"))
    errors += [
        invalid(f"metadata.{name}", metadata.get(name), "field is immutable")
        for name in _IMMUTABLE
        if metadata.get(name) != before.get(name)
    ]
    return errors
