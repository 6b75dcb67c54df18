"""
Pods a second through the API: from the first create to the last `spec.nodeName`, on fake nodes.

Pods are created over TLS by `wrk`, sixteen at a time; a watch, also over TLS, tells when each has its node. The server
runs its controllers and its scheduler, and no node.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from benchmarks.frame import Figure, Server, posting, server, small_pod

from tiphys.api import resources
from tiphys.api.objects import timestamp

AT_ONCE = 16
NODES = "/api/v1/nodes"
_NODES = resources.get("", "v1", "nodes")
PODS = "/api/v1/namespaces/default/pods"
SECONDS_MAX = 120.0
ZONES = 10
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
SIBLINGS = {"matchLabels": small_pod()["metadata"]["labels"]}


def measure() -> list[Figure]:
    plain, spread, apart = small_pod(), _spread_pod(), _lonely_pod()
    return [
        Figure("scheduling, 1,000 nodes, 3,000 pods", _run(1_000, 3_000, plain), 1_500, " pods/s", kubernetes=337),
        Figure("scheduling, 5,000 nodes, 5,000 pods", _run(5_000, 5_000, plain), 1_200, " pods/s", kubernetes=278),
        Figure("scheduling, topology spread, 5,000 nodes, 5,000 pods", _run(5_000, 5_000, spread), 800, " pods/s"),
        Figure("scheduling, pod anti-affinity, 5,000 nodes, 3,000 pods", _run(5_000, 3_000, apart), 500, " pods/s"),
    ]


def _spread_pod() -> dict[str, Any]:
    """A pod that has to be spread evenly over zones, and would like to be over nodes."""
    zones = {"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": SIBLINGS}
    nodes = {"topologyKey": HOST, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": SIBLINGS}
    pod = small_pod()
    pod["spec"]["topologySpreadConstraints"] = [zones, nodes]
    return pod


def _lonely_pod() -> dict[str, Any]:
    """A pod that wants no sibling on its node."""
    term = {"topologyKey": HOST, "labelSelector": SIBLINGS}
    pod = small_pod()
    pod["spec"]["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return pod


def _run(nodes: int, pods: int, pod: dict[str, Any]) -> float:
    with server("--no-node") as running:
        return asyncio.run(_rate(running, nodes, pods, pod))


async def _rate(running: Server, nodes: int, pods: int, pod: dict[str, Any]) -> float:
    await _account(running)
    await _create_nodes(running, nodes)
    await _untainted(running)
    watching = asyncio.create_task(_all_bound(running, pods))
    await asyncio.sleep(1)  # the scheduler has seen the last node, and the watch is open
    started = time.perf_counter()
    with posting(running, PODS, clients=AT_ONCE, body=pod, count=pods):
        async with asyncio.timeout(SECONDS_MAX):
            ended = await watching
    return pods / (ended - started)


async def _account(running: Server) -> None:
    """Pods are refused until the controller has made the namespace's service account."""
    client = running.client()
    while (await client.send("GET", "/api/v1/namespaces/default/serviceaccounts/default")).status != 200:
        await asyncio.sleep(0.02)


async def _create_nodes(running: Server, count: int) -> None:
    client, numbers = running.client(), iter(range(count))

    async def creator() -> None:
        for number in numbers:
            answer = await client.send("POST", NODES, orjson.dumps(_node(number)), headers=_JSON)
            if answer.status != 201:
                raise RuntimeError(f"a node was answered with {answer.status}: {answer.body!r}")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(creator())


async def _untainted(running: Server) -> None:
    """A new node is tainted until a controller has seen that it is ready: that work is no scheduling."""
    client = running.client()
    while any(node["spec"].get("taints") for node in (await client.list(_NODES)).items):
        await asyncio.sleep(0.2)


_JSON = {"content-type": "application/json"}


async def _all_bound(running: Server, count: int) -> float:
    """When the last of `count` pods got its node."""
    answer = await running.client().send("GET", PODS + "?watch=1")
    assert not isinstance(answer.body, bytes)
    bound: set[bytes] = set()
    rest = b""
    async for data in answer.body:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if b'"nodeName":' in line:
                # The first name in it is the pod's own: to decode each event would take the server's processor.
                bound.add(line.split(b'"name":"', 1)[1].split(b'"', 1)[0])
        if len(bound) >= count:
            return time.perf_counter()
    raise RuntimeError(f"the watch ended after {len(bound)} of {count} pods")


def _node(number: int) -> dict[str, Any]:
    labels = {HOST: f"node-{number:05}", ZONE: f"zone-{number % ZONES}"}
    amounts = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    now = timestamp(time.time())
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    ready |= {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return {
        "metadata": {"name": f"node-{number:05}", "labels": labels},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]},
    }
