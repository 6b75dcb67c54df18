"""
Decide the EndpointSlices that mirror a hand-written Endpoints object.

Pure. Only Services without a selector are mirrored; a subset becomes one slice for its IPv4 and one for its IPv6
addresses; an object labelled `endpointslice.kubernetes.io/skip-mirror: "true"`, or one that leader election uses, is
left alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, is_deleting, key_of, labels_of, uid_of
from tiphys.reconcile.commands import Command, Create, Delete, Update
from tiphys.reconcile.ownership import owner_reference

Object = dict[str, Any]

ENDPOINTSLICES = resources.get("discovery.k8s.io", "v1", "endpointslices")
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
ADDRESSES_PER_SUBSET_MAX = 1000
NOT_MIRRORED = (SERVICE_NAME, MANAGED_BY, SKIP)


def plan(service: Object | None, endpoints: Object | None, slices: Sequence[Object]) -> list[Command]:
    """Compare the mirrored slices with the Endpoints."""
    alive = [piece for piece in slices if not is_deleting(piece)]
    if service is None or endpoints is None or not is_mirrored(service, endpoints):
        return [Delete(ENDPOINTSLICES, key_of(piece), uid_of(piece)) for piece in alive]
    wanted = [piece for subset in endpoints.get("subsets") or () for piece in _slices_of(endpoints, subset)]
    commands: list[Command] = []
    left = sorted(alive, key=lambda piece: str(piece["metadata"]["name"]))
    for piece in wanted:
        same = [held for held in left if _shape(held) == _shape(piece)]
        if not same:
            commands.append(Create(ENDPOINTSLICES, piece))
            continue
        held = same[0]
        left.remove(held)
        if (held.get("endpoints") or []) != piece["endpoints"] or labels_of(held) != labels_of(piece):
            meta = {**held["metadata"], "labels": piece["metadata"]["labels"]}
            commands.append(Update(ENDPOINTSLICES, {**held, "metadata": meta, "endpoints": piece["endpoints"]}))
    return [*commands, *(Delete(ENDPOINTSLICES, key_of(piece), uid_of(piece)) for piece in left)]


def is_mirrored(service: Mapping[str, Any], endpoints: Mapping[str, Any]) -> bool:
    if service["spec"].get("selector") or is_deleting(endpoints):
        return False
    return labels_of(endpoints).get(SKIP) != "true" and LEADER not in annotations_of(endpoints)


def _shape(piece: Object) -> tuple[Any, Any]:
    return piece["addressType"], piece.get("ports") or []


def _slices_of(endpoints: Object, subset: Object) -> Iterable[Object]:
    meta = endpoints["metadata"]
    told = [(item, True) for item in subset.get("addresses") or ()]
    told += [(item, False) for item in subset.get("notReadyAddresses") or ()]
    labels = {name: value for name, value in labels_of(endpoints).items() if name not in NOT_MIRRORED}
    labels |= {SERVICE_NAME: meta["name"], MANAGED_BY: MANAGER}
    for family, number in (("IPv4", 4), ("IPv6", 6)):
        members = [_endpoint(item, ready=ready) for item, ready in told if _version(item["ip"]) == number]
        if not members:
            continue
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": f"{meta['name']}-",
                "namespace": meta["namespace"],
                "labels": labels,
                "ownerReferences": [owner_reference(endpoints)],
            },
            "addressType": family,
            "endpoints": members[:ADDRESSES_PER_SUBSET_MAX],
            "ports": [_port(port) for port in subset.get("ports") or ()],
        }


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


def _port(port: Object) -> Object:
    full: Object = {"name": port.get("name") or "", "port": port["port"], "protocol": port.get("protocol") or "TCP"}
    return {**full, "appProtocol": port["appProtocol"]} if port.get("appProtocol") else full


def _endpoint(item: Object, *, ready: bool) -> Object:
    made: Object = {"addresses": [item["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if item.get(field):
            made[field] = item[field]
    return made
