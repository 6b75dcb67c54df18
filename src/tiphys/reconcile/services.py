"""Which Services a pod's change concerns: the events that wake the controllers of endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api.objects import is_deleting, labels_of
from tiphys.api.services import selects
from tiphys.client.informer import Informer
from tiphys.reconcile.loop import Key, KeysOf

Object = dict[str, Any]


def services_of_pod(services: Informer) -> KeysOf:
    """The Services that select a pod, where the change is one that an endpoint shows."""

    def keys(old: Object | None, new: Object | None) -> Iterable[Key]:
        if old is not None and new is not None and _shown(old) == _shown(new):
            return
        pod = new if new is not None else old
        if pod is None:
            return
        for service in services.list(pod["metadata"]["namespace"]):
            if any(version is not None and selects(service, version) for version in (old, new)):
                yield service["metadata"]["namespace"], service["metadata"]["name"]

    return keys


def _shown(pod: Object) -> tuple[Any, ...]:
    """What an endpoint tells of its pod."""
    status = pod.get("status") or {}
    ready = [c.get("status") for c in status.get("conditions") or () if c["type"] == "Ready"]
    place = pod["spec"].get("nodeName")
    return labels_of(pod), status.get("podIP"), status.get("phase"), ready, is_deleting(pod), place
