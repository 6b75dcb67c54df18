"""Defaults of role bindings."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"


def binding(obj: Object) -> None:
    """Users, groups and roles are RBAC's own kinds."""
    reference = obj.setdefault("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = GROUP


DEFAULTS = {(GROUP, "rolebindings"): binding, (GROUP, "clusterrolebindings"): binding}
