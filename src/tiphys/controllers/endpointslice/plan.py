"""
Decide which EndpointSlices a Service has.

Pure: the Service, its pods and the slices that exist go in, commands come out. An endpoint stays in the slice that it
is in, so that one pod's change rewrites one slice of at most a hundred endpoints, however large the Service is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, key_of, labels_of, uid_of
from tiphys.api.pods import is_ready
from tiphys.api.services import Port, has_address, ports_of
from tiphys.reconcile.commands import Command, Create, Delete, Update
from tiphys.reconcile.ownership import owner_reference

Object = dict[str, Any]
Ports = tuple[Port, ...]

ENDPOINTSLICES = resources.get("discovery.k8s.io", "v1", "endpointslices")
SERVICES = resources.get("", "v1", "services")

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"

ENDPOINTS_PER_SLICE_MAX = 100


def plan(service: Object, pods: Sequence[Object], slices: Sequence[Object]) -> list[Command]:
    """Compare the slices that exist with the pods that the Service selects."""
    if is_deleting(service):
        return []  # the garbage collector takes the slices along
    wanted = group_by_ports(service, pods) or {(): {}}
    by_ports: defaultdict[Ports, list[Object]] = defaultdict(list)
    commands: list[Command] = []
    for piece in sorted(slices, key=lambda piece: str(piece["metadata"]["name"])):
        if is_deleting(piece):
            continue
        ports = ports_in(piece)
        if ports in wanted and piece["addressType"] == "IPv4":
            by_ports[ports].append(piece)
        else:
            commands.append(_delete(piece))
    for ports, endpoints in wanted.items():
        commands += _fill(service, ports, endpoints, by_ports[ports])
    # What is new comes before what is taken away: no moment without endpoints.
    return sorted(commands, key=lambda command: isinstance(command, Delete))


def group_by_ports(service: Object, pods: Sequence[Object]) -> dict[Ports, dict[str, Object]]:
    """Endpoints by the pod's uid, for each set of port numbers that pods open."""
    grouped: defaultdict[Ports, dict[str, Object]] = defaultdict(dict)
    headless = service["spec"].get("clusterIP") == "None"
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        if has_address(pod):
            ports = ports_of(service, pod)
            if ports or headless:
                grouped[ports][uid_of(pod)] = endpoint(service, pod)
    return dict(grouped)


def endpoint(service: Mapping[str, Any], pod: Mapping[str, Any]) -> Object:
    """The endpoint of one pod, as Kubernetes writes it."""
    meta, spec = pod["metadata"], pod["spec"]
    serving, terminating = is_ready(pod), is_deleting(pod)
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    made: Object = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": always or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]},
    }
    if spec.get("nodeName"):
        made["nodeName"] = spec["nodeName"]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        made["hostname"] = spec["hostname"]
    return made


def ports_in(piece: Mapping[str, Any]) -> Ports:
    """The ports of a slice, in the form they are compared."""
    return tuple(
        (port.get("name") or "", port.get("port") or 0, port.get("protocol") or "TCP", port.get("appProtocol") or "")
        for port in piece.get("ports") or ()
    )


def _fill(service: Object, ports: Ports, wanted: dict[str, Object], held: Sequence[Object]) -> list[Command]:
    """Keep what stays where it is, fill free places, then make new slices."""
    left = dict(wanted)
    kept = [[left.pop(uid) for uid in _uids(piece) if uid in left] for piece in held]
    missing = list(left.values())
    for endpoints in kept:
        free = ENDPOINTS_PER_SLICE_MAX - len(endpoints)
        endpoints += missing[:free]
        missing = missing[free:]
    commands: list[Command] = []
    # The last slice stays also when it is empty: it says that nobody is there.
    spare = len(held) - 1 if not wanted else len(held)
    for piece, endpoints in zip(held, kept, strict=True):
        if not endpoints and (wanted or spare > 0):
            spare -= 1
            commands.append(_delete(piece))
        else:
            commands += _update(service, piece, endpoints)
    starts = range(0, len(missing), ENDPOINTS_PER_SLICE_MAX)
    chunks = [missing[start : start + ENDPOINTS_PER_SLICE_MAX] for start in starts]
    if not chunks and not held:
        chunks = [[]]
    commands += [Create(ENDPOINTSLICES, new_slice(service, ports, chunk)) for chunk in chunks]
    return commands


def _uids(piece: Mapping[str, Any]) -> list[str]:
    return [str((item.get("targetRef") or {}).get("uid", "")) for item in piece.get("endpoints") or ()]


def _update(service: Object, piece: Object, endpoints: list[Object]) -> list[Command]:
    labels = labels_for(service)
    if (piece.get("endpoints") or []) == endpoints and labels_of(piece) == labels:
        return []
    return [
        Update(ENDPOINTSLICES, {**piece, "metadata": {**piece["metadata"], "labels": labels}, "endpoints": endpoints})
    ]


def _delete(piece: Object) -> Delete:
    return Delete(ENDPOINTSLICES, key_of(piece), uid_of(piece))


def labels_for(service: Object) -> dict[str, str]:
    """The Service's own labels, and those by which slices are found."""
    labels = {**labels_of(service), SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: MANAGER}
    labels.pop(HEADLESS, None)
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    return labels


def new_slice(service: Object, ports: Ports, endpoints: list[Object]) -> Object:
    meta = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta['name']}-",
            "namespace": meta["namespace"],
            "labels": labels_for(service),
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [_port(*port) for port in ports],
    }


def _port(name: str, number: int, protocol: str, application: str) -> Object:
    port: Object = {"name": name, "port": number, "protocol": protocol}
    return {**port, "appProtocol": application} if application else port
