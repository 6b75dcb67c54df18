"""From sending a ready endpoint of a Service to the first connection that the Service's address accepts."""

from __future__ import annotations

import socket
import time
from typing import Any

from benchmarks.frame import Figure
from benchmarks.machine import GATEWAY, Api, cluster

SERVICES = 100
SECONDS_MAX = 10.0
CORE, SLICES = "/api/v1/namespaces/default/services", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def measure() -> list[Figure]:
    with cluster() as running, socket.create_server((GATEWAY, 0), backlog=SERVICES * 2) as listener:
        api, port = Api(running), listener.getsockname()[1]
        delays = sorted(_delay(api, f"web-{number}", port) for number in range(SERVICES))
    p99 = delays[int(len(delays) * 0.99)] * 1000
    return [Figure("endpoint ready → packet accepted, p99", p99, 20, "ms", at_most=True)]


def _delay(api: Api, name: str, port: int) -> float:
    address = api.call("POST", CORE, _service(name, port))["spec"]["clusterIP"]
    sent = time.perf_counter()
    api.call("POST", SLICES, _slice(name, port))
    while not _accepts(address):
        if time.perf_counter() - sent > SECONDS_MAX:
            raise RuntimeError(f"{address} accepts nothing")
        time.sleep(0.0005)
    return time.perf_counter() - sent


def _accepts(address: str) -> bool:
    try:
        socket.create_connection((address, 80), timeout=0.1).close()
    except OSError:
        return False
    return True


def _service(name: str, port: int) -> dict[str, Any]:
    """Without a selector: its endpoints are ours to say."""
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80, "targetPort": port}]}}


def _slice(name: str, port: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [GATEWAY], "conditions": {"ready": True}}],
        "ports": [{"port": port, "protocol": "TCP", "name": ""}],
    }
