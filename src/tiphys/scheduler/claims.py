"""Which claims a pod uses. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]


def claim_names(pod: Object) -> tuple[Key, ...]:
    """(namespace, name) of every claim that a pod's volumes name, those made for it alone included."""
    return tuple(name for name, _ in claimed(pod)) if has_claims(pod) else ()


def has_claims(pod: Object) -> bool:
    return any("persistentVolumeClaim" in v or "ephemeral" in v for v in pod["spec"].get("volumes") or ())


def claimed(pod: Object) -> Iterator[tuple[Key, bool]]:
    """Each claim, and whether it is made for this pod (an ephemeral volume)."""
    meta = pod["metadata"]
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield (meta.get("namespace", ""), volume["persistentVolumeClaim"]["claimName"]), False
        elif "ephemeral" in volume:
            yield (meta.get("namespace", ""), f"{meta['name']}-{volume['name']}"), True
