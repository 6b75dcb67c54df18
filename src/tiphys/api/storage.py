"""
What claims, volumes and classes say: the words that the binder, the scheduler and the node share. Pure.

A *claim* is a PersistentVolumeClaim, a *volume* a PersistentVolume. Bound means both point at each other: the volume's
`claimRef` (with uid) at the claim, the claim's `volumeName` at the volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tiphys.api import quantity
from tiphys.api.objects import annotations_of, is_deleting, labels_of, name_of, namespace_of, uid_of
from tiphys.api.selectors import from_label_selector, matches_node_selector_term

Object = dict[str, Any]
Claim = Mapping[str, Any]
Volume = Mapping[str, Any]

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
PROVISIONER_BETA = "volume.beta.kubernetes.io/storage-provisioner"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
CLAIM_PROTECTION, VOLUME_PROTECTION = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"

# The built-in provisioner, and the finalizer with which a volume waits until its node has removed the data.
LOCAL_PATH = "tiphys.io/local-path"
# On a volume: the node that holds its data. On a node (as annotation LOCAL_PATH): the directory of its volumes.
NODE_LABEL = "tiphys.io/node"


# what they say


def class_of(obj: Mapping[str, Any]) -> str:
    """Of a claim or a volume; "" is none."""
    old = annotations_of(obj).get(CLASS_ANNOTATION)
    return str(old if old is not None else obj["spec"].get("storageClassName") or "")


def has_class(claim: Claim) -> bool:
    """Whether the claim says a class, be it the empty one: a default is not for it then."""
    return CLASS_ANNOTATION in annotations_of(claim) or claim["spec"].get("storageClassName") is not None


def requested_bytes(claim: Claim) -> int:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity.value(str(requests.get("storage") or "0"))


def capacity_bytes(volume: Volume) -> int:
    return quantity.value(str((volume["spec"].get("capacity") or {}).get("storage") or "0"))


def mode_of(obj: Mapping[str, Any]) -> str:
    """Filesystem or Block."""
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def phase_of(obj: Mapping[str, Any]) -> str:
    return str((obj.get("status") or {}).get("phase") or "")


def default_class(classes: Iterable[Object]) -> Object | None:
    """The newest class that is marked as default; by name among those of the same second."""
    marked = [each for each in classes if any(annotations_of(each).get(mark) == "true" for mark in DEFAULT_CLASS)]
    marked.sort(key=name_of)
    return max(marked, key=lambda each: str(each["metadata"].get("creationTimestamp", "")), default=None)


def is_local_path(volume: Volume) -> bool:
    """Whether the built-in provisioner made it."""
    return annotations_of(volume).get(PROVISIONED_BY) == LOCAL_PATH


def reaches(volume: Volume, node: Mapping[str, Any]) -> bool:
    """Whether the volume can be used on the node, by its node affinity."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    terms: Sequence[Mapping[str, Any]] = (required or {}).get("nodeSelectorTerms") or ()
    return not required or any(matches_node_selector_term(term, labels_of(node), name_of(node)) for term in terms)


# who belongs to whom


def is_of(volume: Volume, claim: Claim) -> bool:
    """Whether the volume is reserved for this very claim: an empty uid was written by a person and fits any."""
    ref = volume["spec"].get("claimRef")
    if not ref or (ref.get("namespace"), ref.get("name")) != (namespace_of(claim), name_of(claim)):
        return False
    return not ref.get("uid") or ref["uid"] == uid_of(claim)


def is_bound(claim: Claim) -> bool:
    """Whether the binder is done with the claim."""
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations_of(claim)


def ephemeral_claim(pod: Mapping[str, Any], volume: Mapping[str, Any]) -> str:
    """The name of the claim that is made for a generic ephemeral volume."""
    return f"{name_of(pod)}-{volume['name']}"


def claim_names(pod: Mapping[str, Any]) -> Iterator[str]:
    """The claims that the pod's volumes use, ephemeral ones included, in its namespace."""
    for volume in pod["spec"].get("volumes") or ():
        source = volume.get("persistentVolumeClaim")
        if source:
            yield str(source["claimName"])
        elif volume.get("ephemeral") is not None:
            yield ephemeral_claim(pod, volume)


def not_owner(pod: Mapping[str, Any], claim: Claim) -> str:
    """Why a claim of the right name is not the ephemeral volume's; "" when it is."""
    owners: Sequence[Mapping[str, Any]] = claim["metadata"].get("ownerReferences") or ()
    if any(owner.get("controller") and owner.get("uid") == uid_of(pod) for owner in owners):
        return ""
    return f"PVC {namespace_of(claim)}/{name_of(claim)} was not created for pod {namespace_of(pod)}/{name_of(pod)} " + (
        "(pod is not owner)"
    )


# matching


def mismatch(volume: Volume, claim: Claim) -> str:
    """Why a volume that the claim asks for by name cannot serve it; "" when it can."""
    if capacity_bytes(volume) < requested_bytes(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if mode_of(volume) != mode_of(claim):
        return "incompatible volumeMode"
    if not offers_modes(volume, claim):
        return "incompatible accessMode"
    if _attributes(volume) != _attributes(claim):
        return "VolumeAttributesClassName does not match"
    return ""


def offers_modes(volume: Volume, claim: Claim) -> bool:
    """Whether the volume has every access mode of the claim."""
    return set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())


def _attributes(obj: Mapping[str, Any]) -> str:
    return str(obj["spec"].get("volumeAttributesClassName") or "")


def best_match(claim: Claim, volumes: Iterable[Object], *, reserved_only: bool = False) -> Object | None:
    """
    The volume for a claim that names none: one that is reserved for it, or else the smallest that fits.

    Volumes with fewer access modes are taken first, so that those with many are left to who needs them. With
    `reserved_only` nothing else than a reserved one will do: the claim waits for its first pod.
    """
    selector = from_label_selector(claim["spec"]["selector"]) if claim["spec"].get("selector") else None
    fitting: list[Object] = []
    for volume in volumes:
        if is_deleting(volume) or not _can_hold(volume, claim):
            continue
        if volume["spec"].get("claimRef"):
            if is_of(volume, claim):
                return volume
            continue
        if reserved_only or phase_of(volume) != "Available" or class_of(volume) != class_of(claim):
            continue
        if offers_modes(volume, claim) and (selector is None or selector.matches(labels_of(volume))):
            fitting.append(volume)
    return min(fitting, key=_preference, default=None)


def _can_hold(volume: Volume, claim: Claim) -> bool:
    if mode_of(volume) != mode_of(claim) or _attributes(volume) != _attributes(claim):
        return False
    return capacity_bytes(volume) >= requested_bytes(claim)


def _preference(volume: Volume) -> tuple[int, int, str]:
    return len(volume["spec"].get("accessModes") or ()), capacity_bytes(volume), name_of(volume)
