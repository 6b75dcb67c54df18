"""
The objects that a cluster has from the first moment: system namespaces, priority classes, the API server's own Service
with its endpoints, and what it says of itself (boot_objects.py). Written through the API itself, so that they are
defaulted and validated like all others; written again at each start only where something is missing or another address
is true now.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from tiphys.api import resources
from tiphys.api.metrics import RESOURCE_GROUP
from tiphys.api.resources import Resource
from tiphys.apiserver import boot_objects, boot_storage
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.call import Object
from tiphys.wire.messages import Handler, Identity, Request

log = logging.getLogger(__name__)

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SELF = Identity("system:apiserver", ("system:masters", "system:authenticated"))
_AGENT = "tiphys-apiserver"


@dataclass(frozen=True, slots=True)
class Advertised:
    """Where this API server is reached from pods: `address` empty means nowhere (no endpoints are written)."""

    address: str
    port: int
    service_cidr: str

    @property
    def service_address(self) -> str:
        return str(ipaddress.IPv4Network(self.service_cidr).network_address + 1)


async def boot(handler: Handler, cache: Cache, advertised: Advertised, *, local_storage: bool = False) -> None:
    """Make what is missing; `local_storage` asks for the built-in class too."""
    await cache.caught_up()
    for name in NAMESPACES:
        await _ensure(handler, cache, resources.get("", "v1", "namespaces"), _named(name))
    for priority in _priority_classes():
        await _ensure(handler, cache, resources.get("scheduling.k8s.io", "v1", "priorityclasses"), priority)
    cidrs = _named("kubernetes") | {"spec": {"cidrs": [advertised.service_cidr]}}
    await _ensure(handler, cache, resources.get("networking.k8s.io", "v1", "servicecidrs"), cidrs)
    for resource, obj in _own_service(advertised):
        await _ensure(handler, cache, resource, obj)
    if local_storage:
        await _ensure(handler, cache, boot_storage.CLASSES, boot_storage.local_path())
    async with asyncio.TaskGroup() as tasks:  # together, so that the store commits them together
        for resource, obj in boot_objects.flow_control():
            tasks.create_task(_ensure(handler, cache, resource, obj, boot_objects.PRODUCER))


async def register(handler: Handler, cache: Cache, served: Iterable[Resource]) -> None:
    """An APIService for each group and version that is served here, and that it is available."""
    registered = list(boot_objects.api_services(served))
    if any(obj["spec"].get("group") == RESOURCE_GROUP for _, obj in registered):
        await _ensure(handler, cache, *boot_objects.readers())
    async with asyncio.TaskGroup() as tasks:
        for resource, obj in registered:
            tasks.create_task(_ensure(handler, cache, resource, obj, boot_objects.AGGREGATOR))
    await cache.caught_up()
    async with asyncio.TaskGroup() as tasks:
        for resource, obj in registered:
            name = obj["metadata"]["name"]
            told = boot_objects.told_available(cache.get(resource.group, resource.name, "", name), time.time())
            if told is not None:
                path = resource.path("", name, "status")
                tasks.create_task(_send(handler, "PUT", path, told, boot_objects.AGGREGATOR))


def _named(name: str) -> Object:
    return {"metadata": {"name": name}}


def _priority_classes() -> Iterable[Object]:
    yield _named("system-node-critical") | {
        "value": 2000001000,
        "description": "Used for system critical pods that must not be moved from their current node.",
    }
    yield _named("system-cluster-critical") | {
        "value": 2000000000,
        "description": (
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
        ),
    }


def _own_service(advertised: Advertised) -> Iterable[tuple[Resource, Object]]:
    metadata = {
        "name": "kubernetes",
        "namespace": "default",
        "labels": {"component": "apiserver", "provider": "kubernetes"},
    }
    port = {"name": "https", "protocol": "TCP", "port": 443, "targetPort": advertised.port}
    spec = {"clusterIP": advertised.service_address, "ports": [port], "type": "ClusterIP", "sessionAffinity": "None"}
    yield resources.get("", "v1", "services"), {"metadata": metadata, "spec": spec}
    if not advertised.address:
        return
    reached = {"name": "https", "port": advertised.port, "protocol": "TCP"}
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    subsets = [{"addresses": [{"ip": advertised.address}], "ports": [reached]}]
    endpoints = {"metadata": {"name": "kubernetes", "namespace": "default", "labels": labels}, "subsets": subsets}
    yield resources.get("", "v1", "endpoints"), endpoints
    piece = {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [advertised.address], "conditions": {"ready": True}}],
        "ports": [reached],
    }
    yield resources.get("discovery.k8s.io", "v1", "endpointslices"), piece


async def _ensure(handler: Handler, cache: Cache, resource: Resource, wanted: Object, agent: str = _AGENT) -> None:
    metadata = wanted["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    present = cache.get(resource.group, resource.name, namespace, name)
    if present is None:
        await _send(handler, "POST", resource.path(namespace), wanted, agent)
    elif resource.name in ("endpoints", "endpointslices") and not _holds(present, wanted):
        await _send(handler, "PUT", resource.path(namespace, name), wanted)


def _holds(present: Object, wanted: Object) -> bool:
    """Whether everything but the metadata is as wanted."""
    return all(present.get(name) == value for name, value in wanted.items() if name != "metadata")


async def _send(handler: Handler, method: str, path: str, obj: Object, agent: str = _AGENT) -> None:
    headers = {"content-type": "application/json", "user-agent": agent}
    response = await handler(Request(method, path, headers, orjson.dumps(obj), identity=SELF))
    if response.status >= 300 and response.status != 409:
        raise RuntimeError(f"{method} {path} at start answered {response.status}: {response.body!r}")
