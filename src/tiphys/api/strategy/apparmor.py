"""
AppArmor profiles were annotations before they were fields: a new pod's annotation still gives its container the field.

A container's own field comes first, and a pod for Windows has no profile.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

ANNOTATION_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_LOCALHOST = "localhost/"
_BY_TYPE = {"Unconfined": "unconfined", "RuntimeDefault": "runtime/default"}


def sync_apparmor(pod: Object) -> None:
    """Give the containers of a new pod the fields that its annotations ask for (in place)."""
    spec, annotations = pod["spec"], pod["metadata"].get("annotations")
    if not annotations or (spec.get("os") or {}).get("name") == "windows":
        return
    whole = (spec.get("securityContext") or {}).get("appArmorProfile")
    for group in ("initContainers", "containers"):
        for container in spec.get(group) or ():
            profile = profile_of(annotations.get(ANNOTATION_PREFIX + container.get("name", ""), ""))
            own = (container.get("securityContext") or {}).get("appArmorProfile")
            if profile is not None and own is None and profile != whole:
                container.setdefault("securityContext", {})["appArmorProfile"] = profile


def profile_of(annotation: str) -> Object | None:
    """The profile for an annotation; None if it names none."""
    if annotation.startswith(_LOCALHOST) and annotation != _LOCALHOST:
        return {"type": "Localhost", "localhostProfile": annotation.removeprefix(_LOCALHOST)}
    return next(({"type": kind} for kind, text in _BY_TYPE.items() if text == annotation), None)
