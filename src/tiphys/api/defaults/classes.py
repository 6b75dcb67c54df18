"""Defaults of priority classes and of registered API services."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def priority_class(obj: Object) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def api_service(obj: Object) -> None:
    service = (obj.get("spec") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


DEFAULTS = {
    ("scheduling.k8s.io", "priorityclasses"): priority_class,
    ("apiregistration.k8s.io", "apiservices"): api_service,
}
