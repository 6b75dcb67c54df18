"""
What claims and volumes get at creation: the default storage class, and a finalizer for as long as they are in use.
"""

from __future__ import annotations

from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, forbidden, on
from tiphys.apiserver.call import Attributes, Object, Reader

GROUP = "storage.k8s.io"
DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_FINALIZERS = {
    ("", "persistentvolumeclaims"): "kubernetes.io/pvc-protection",
    ("", "persistentvolumes"): "kubernetes.io/pv-protection",
    ("storage.k8s.io", "volumeattributesclasses"): "kubernetes.io/vac-protection",
}


def in_use_protection() -> Plugin:
    """StorageObjectInUseProtection."""

    def mutate(attributes: Attributes) -> None:
        if attributes.object is None:
            return
        metadata = attributes.object["metadata"]
        finalizer = _FINALIZERS[attributes.resource.group, attributes.resource.name]
        finalizers = metadata.get("finalizers") or []
        if finalizer not in finalizers:
            metadata["finalizers"] = [*finalizers, finalizer]

    return Plugin("StorageObjectInUseProtection", on((CREATE,), *_FINALIZERS), mutate)


def default_class(reader: Reader) -> Plugin:
    """DefaultStorageClass."""

    def mutate(attributes: Attributes) -> None:
        claim = attributes.object
        if claim is None or "storageClassName" in (claim.get("spec") or {}):
            return
        if CLASS_ANNOTATION in (claim["metadata"].get("annotations") or {}):
            return
        chosen = default_of(reader)
        if chosen is not None:
            claim.setdefault("spec", {})["storageClassName"] = chosen["metadata"]["name"]

    return Plugin("DefaultStorageClass", on((CREATE,), ("", "persistentvolumeclaims")), mutate)


def default_of(reader: Reader) -> Object | None:
    """The newest class that is marked as default; by name among those of the same second."""
    marked = [each for each in reader.list(GROUP, "storageclasses") if _is_default(each)]
    marked.sort(key=lambda each: each["metadata"]["name"])
    return max(marked, key=lambda each: each["metadata"].get("creationTimestamp", ""), default=None)


def _is_default(storage_class: Object) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return any(annotations.get(name) == "true" for name in DEFAULT_ANNOTATIONS)


def resize(reader: Reader) -> Plugin:
    """PersistentVolumeClaimResize: a claim grows only where its class lets it."""

    def validate(attributes: Attributes) -> None:
        new, old = attributes.object, attributes.old
        if new is None or old is None or _requested(new) == _requested(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise forbidden(attributes, "Only bound persistent volume claims can be expanded")
        name = (new.get("spec") or {}).get("storageClassName", "")
        found = reader.get(GROUP, "storageclasses", "", name) if name else None
        if found is None or not found.get("allowVolumeExpansion"):
            why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must"
            raise forbidden(attributes, f"{why} support resize")

    return Plugin("PersistentVolumeClaimResize", on((UPDATE,), ("", "persistentvolumeclaims")), None, validate)


def _requested(claim: Object) -> object:
    return (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
