"""What a pod refers to: the Secrets, ConfigMaps, claims and the account that its node must read to run it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# (plural, name), in the pod's namespace.
Reference = tuple[str, str]

SECRETS, CONFIG_MAPS, CLAIMS, ACCOUNTS = "secrets", "configmaps", "persistentvolumeclaims", "serviceaccounts"
RESOURCE_CLAIMS = "resourceclaims"
# Volume sources that name a Secret of the pod's namespace in `secretRef`.
_SECRET_REF_SOURCES = ("cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def references_of(pod: Mapping[str, Any]) -> frozenset[Reference]:
    """Everything that the pod names."""
    spec = pod.get("spec") or {}
    found: set[Reference] = {(SECRETS, each["name"]) for each in spec.get("imagePullSecrets") or () if each.get("name")}
    if spec.get("serviceAccountName"):
        found.add((ACCOUNTS, spec["serviceAccountName"]))
    for kind in _CONTAINER_LISTS:
        for container in spec.get(kind) or ():
            found.update(_of_container(container))
    for volume in spec.get("volumes") or ():
        found.update(_of_volume(pod, volume))
    found.update(_of_claims(pod))
    return frozenset(found)


def secrets_of_volume(volume: Mapping[str, Any], namespace: str, claim: str) -> set[tuple[str, str]]:
    """(namespace, name) of those that the driver of a PersistentVolume is given, if it is bound to that claim."""
    spec = volume.get("spec") or {}
    bound = spec.get("claimRef") or {}
    if (bound.get("namespace"), bound.get("name")) != (namespace, claim):
        return set()
    refs = [ref for field, ref in (spec.get("csi") or {}).items() if field.endswith("SecretRef")]
    return {(ref.get("namespace", ""), ref.get("name", "")) for ref in refs}


def _of_container(container: Mapping[str, Any]) -> Iterator[Reference]:
    for source in container.get("envFrom") or ():
        yield from _named(SECRETS, source.get("secretRef"))
        yield from _named(CONFIG_MAPS, source.get("configMapRef"))
    for variable in container.get("env") or ():
        value = variable.get("valueFrom") or {}
        yield from _named(SECRETS, value.get("secretKeyRef"))
        yield from _named(CONFIG_MAPS, value.get("configMapKeyRef"))


def _of_volume(pod: Mapping[str, Any], volume: Mapping[str, Any]) -> Iterator[Reference]:
    yield from _named(SECRETS, volume.get("secret"), "secretName")
    yield from _named(CONFIG_MAPS, volume.get("configMap"))
    yield from _named(CLAIMS, volume.get("persistentVolumeClaim"), "claimName")
    yield from _named(SECRETS, volume.get("azureFile"), "secretName")
    yield from _named(SECRETS, (volume.get("csi") or {}).get("nodePublishSecretRef"))
    for source in _SECRET_REF_SOURCES:
        yield from _named(SECRETS, (volume.get(source) or {}).get("secretRef"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _named(SECRETS, source.get("secret"))
        yield from _named(CONFIG_MAPS, source.get("configMap"))
    if volume.get("ephemeral") is not None:
        yield CLAIMS, f"{pod['metadata']['name']}-{volume['name']}"


def _of_claims(pod: Mapping[str, Any]) -> Iterator[Reference]:
    for claim in (pod.get("spec") or {}).get("resourceClaims") or ():
        yield from _named(RESOURCE_CLAIMS, claim, "resourceClaimName")
    for claim in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        yield from _named(RESOURCE_CLAIMS, claim, "resourceClaimName")


def _named(plural: str, holder: Mapping[str, Any] | None, field: str = "name") -> Iterator[Reference]:
    if holder and holder.get(field):
        yield plural, holder[field]
