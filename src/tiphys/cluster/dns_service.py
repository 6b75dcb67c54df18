"""The Service `kube-dns`, whose endpoint is the DNS server of this node: what pods' resolv.conf names."""

from __future__ import annotations

from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.client.client import Client
from tiphys.cluster.master import Master
from tiphys.wire.messages import Identity

Object = dict[str, Any]

SERVICES = resources.get("", "v1", "services")
SLICES = resources.get("discovery.k8s.io", "v1", "endpointslices")
NAMESPACE, NAME = "kube-system", "kube-dns"
ADMIN = Identity("system:apiserver", ("system:masters", "system:authenticated"))


async def publish(master: Master, address: str, port: int) -> None:
    """Write the Service and its slice where they are missing or say another address."""
    client = Client(master.handle, identity=ADMIN, user_agent="tiphys")
    await _ensure(client, SERVICES, _service(master.settings.dns_address))
    await _ensure(client, SLICES, _slice(address, port))


def _service(cluster_ip: str) -> Object:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    labels = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    meta = {"name": NAME, "namespace": NAMESPACE, "labels": labels}
    spec = {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "ports": ports, "type": "ClusterIP"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def _slice(address: str, port: int) -> Object:
    labels = {"kubernetes.io/service-name": NAME, "endpointslice.kubernetes.io/managed-by": "tiphys"}
    ports = [{"name": "dns", "port": port, "protocol": "UDP"}, {"name": "dns-tcp", "port": port, "protocol": "TCP"}]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False}}],
        "ports": ports,
    }


async def _ensure(client: Client, resource: resources.Resource, wanted: Object) -> None:
    try:
        held = await client.get(resource, NAME, NAMESPACE)
    except StatusError as error:
        if error.code != 404:
            raise
        await client.create(resource, wanted, NAMESPACE)
        return
    if resource is SLICES and any(held.get(name) != wanted[name] for name in ("endpoints", "ports")):
        await client.update(resource, {**held, "endpoints": wanted["endpoints"], "ports": wanted["ports"]})
