"""Defaults of the volumes of a pod and of volume claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.images import default_pull_policy

Object = dict[str, Any]

FILE_MODE = 0o644
_TOKEN_SECONDS = 3600
_CERTIFICATE_SECONDS = 86_400
# Per volume type: what is filled in where it is not said.
_FIXED: Mapping[str, Mapping[str, Any]] = {
    "configMap": {"defaultMode": FILE_MODE},
    "secret": {"defaultMode": FILE_MODE},
    "downwardAPI": {"defaultMode": FILE_MODE},
    "projected": {"defaultMode": FILE_MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def set_volume(volume: Object) -> None:
    """Fill one volume in place; a volume of no type is an emptyDir."""
    kinds = [kind for kind in volume if kind != "name"]
    if not kinds:
        volume["emptyDir"] = {}
        return
    for kind in kinds:
        source = volume[kind]
        for name, value in _FIXED.get(kind, {}).items():
            source.setdefault(name, value)
        if kind == "downwardAPI":
            _set_downward_items(source)
        elif kind == "projected":
            for projection in source.get("sources") or ():
                _set_projection(projection)
        elif kind == "image":
            source.setdefault("pullPolicy", default_pull_policy(source.get("reference", "")))
        elif kind == "ephemeral" and "volumeClaimTemplate" in source:
            set_claim_spec(source["volumeClaimTemplate"].get("spec"))


def _set_projection(projection: Object) -> None:
    if "serviceAccountToken" in projection:
        projection["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_SECONDS)
    if "downwardAPI" in projection:
        _set_downward_items(projection["downwardAPI"])
    if "podCertificate" in projection:
        projection["podCertificate"].setdefault("maxExpirationSeconds", _CERTIFICATE_SECONDS)


def _set_downward_items(source: Object) -> None:
    for item in source.get("items") or ():
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")


def set_claim_spec(spec: Object | None) -> None:
    """Fill the spec of a volume claim in place."""
    if spec is not None:
        spec.setdefault("volumeMode", "Filesystem")
