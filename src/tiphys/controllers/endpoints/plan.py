"""
Decide the Endpoints object of a Service.

Pure: the Service, its pods and the Endpoints that exist go in, commands come out. Rules of Kubernetes: at most 1000
addresses, ready and not ready apart, pods that terminate are left out, addresses with equal ports share a subset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, is_deleting, labels_of
from tiphys.api.pods import is_ready
from tiphys.api.services import Port, has_address, ports_of
from tiphys.reconcile.commands import Command, Create, Update

Object = dict[str, Any]

ENDPOINTS = resources.get("", "v1", "endpoints")

ADDRESSES_MAX = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"


def plan(service: Object, pods: Sequence[Object], held: Object | None) -> list[Command]:
    """The command that makes the Endpoints true, or none."""
    if is_deleting(service):
        return []
    subsets, cut = subsets_of(service, pods)
    labels = {**labels_of(service), MANAGED_BY: "endpoint-controller"}
    labels.pop(HEADLESS, None)
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    if held is None:
        meta: Object = {"name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"]}
        meta["labels"] = labels
        if cut:
            meta["annotations"] = {OVER_CAPACITY: "truncated"}
        made: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
        return [Create(ENDPOINTS, {**made, "subsets": subsets} if subsets else made)]
    annotations = {name: text for name, text in annotations_of(held).items() if name != OVER_CAPACITY}
    if cut:
        annotations[OVER_CAPACITY] = "truncated"
    same_meta = labels_of(held) == labels and annotations_of(held) == annotations
    if same_meta and (held.get("subsets") or []) == subsets:
        return []
    meta = {**held["metadata"], "labels": labels, "annotations": annotations}
    return [Update(ENDPOINTS, {**held, "metadata": meta, "subsets": subsets})]


def subsets_of(service: Object, pods: Sequence[Object]) -> tuple[list[Object], bool]:
    """The subsets in a fixed order, and whether addresses had to be left out."""
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    candidates = [pod for pod in pods if _is_candidate(pod, always=always)]
    candidates.sort(key=lambda pod: (not is_ready(pod), str(pod["status"]["podIP"]), str(pod["metadata"]["name"])))
    cut = len(candidates) > ADDRESSES_MAX
    groups: defaultdict[tuple[Port, ...], tuple[list[Object], list[Object]]] = defaultdict(lambda: ([], []))
    for pod in candidates[:ADDRESSES_MAX]:
        ports = ports_of(service, pod)
        if not ports and service["spec"].get("clusterIP") != "None":
            continue
        ready, waiting = groups[ports]
        (ready if always or is_ready(pod) else waiting).append(_address(service, pod))
    return [_subset(ports, *groups[ports]) for ports in sorted(groups)], cut


def _is_candidate(pod: Mapping[str, Any], *, always: bool) -> bool:
    return has_address(pod) and (always or not is_deleting(pod))


def _address(service: Object, pod: Object) -> Object:
    meta, spec = pod["metadata"], pod["spec"]
    address: Object = {"ip": pod["status"]["podIP"]}
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        address["hostname"] = spec["hostname"]
    if spec.get("nodeName"):
        address["nodeName"] = spec["nodeName"]
    target = {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
    return {**address, "targetRef": target}


def _subset(ports: tuple[Port, ...], ready: list[Object], waiting: list[Object]) -> Object:
    subset: Object = {}
    if ready:
        subset["addresses"] = ready
    if waiting:
        subset["notReadyAddresses"] = waiting
    if ports:
        subset["ports"] = [_port(*port) for port in ports]
    return subset


def _port(name: str, number: int, protocol: str, application: str) -> Object:
    port: Object = {"name": name} if name else {}
    port |= {"port": number, "protocol": protocol}
    return {**port, "appProtocol": application} if application else port
