"""POST ConfigMaps and Pods with generated names; each is on the disk (SQLite, synchronous=FULL) before its 201."""

from __future__ import annotations

from benchmarks.frame import Figure, bare_server, config_map, small_pod, wrk


def measure() -> list[Figure]:
    with bare_server() as server:
        server.kubectl("create", "serviceaccount", "default")
        maps = wrk(server, "/api/v1/namespaces/default/configmaps", clients=16, body=config_map()).per_second
        pods = wrk(server, "/api/v1/namespaces/default/pods", clients=16, body=small_pod()).per_second
    return [
        Figure("POST ConfigMap, durable, 16 clients", maps, 4_000, "/s", kubernetes=1_866),
        Figure("POST Pod, durable, 16 clients", pods, 2_500, "/s", kubernetes=1_016),
    ]
