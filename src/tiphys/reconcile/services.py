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
        versions = [version for version in (old, new) if version is not None]
        if not versions:
            return
        # Few Services select a pod: that is asked first, because what an endpoint shows of it costs more to find out.
        namespace = versions[0]["metadata"]["namespace"]
        selecting = [
            service for service in services.list(namespace) if any(selects(service, version) for version in versions)
        ]
        if not selecting or (len(versions) == 2 and _shown(versions[0]) == _shown(versions[1])):
            return
        for service in selecting:
            yield namespace, service["metadata"]["name"]

    return keys


def _shown(pod: Object) -> tuple[Any, ...]:
    """What an endpoint tells of its pod."""
    status = pod.get("status") or {}
    ready = [c.get("status") for c in status.get("conditions") or () if c["type"] == "Ready"]
    place = pod["spec"].get("nodeName")
    return labels_of(pod), status.get("podIP"), status.get("phase"), ready, is_deleting(pod), place
