"""A Job of many pods that end at once: from sending it until its status says Complete, every pod counted once."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.frame import Figure
from benchmarks.machine import IMAGE, Api, cluster

PODS, PARALLELISM = 500, 20
JOBS = "/apis/batch/v1/namespaces/default/jobs"
SECONDS_MAX = 120.0


def measure(pods: int = PODS) -> list[Figure]:
    with cluster() as running:
        api = Api(running)
        sent = time.perf_counter()
        api.call("POST", JOBS, one_shots("many", pods))
        status = _completed(api, "many")
        rate = pods / (time.perf_counter() - sent)
    if status["succeeded"] != pods or status.get("failed"):
        raise RuntimeError(f"miscounted: {status}")
    return [Figure(f"Job of {pods} one-shot pods, {PARALLELISM} at a time", rate, 25, " pods/s")]


def _completed(api: Api, name: str) -> dict[str, Any]:
    """The status once it says so; asking ten times a second costs nothing that shows."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        status: dict[str, Any] = api.call("GET", f"{JOBS}/{name}").get("status", {})
        if any(condition["type"] == "Complete" for condition in status.get("conditions", ())):
            return status
        time.sleep(0.1)
    raise RuntimeError(f"not within {SECONDS_MAX:.0f} s: {status}")


def one_shots(name: str, pods: int) -> dict[str, Any]:
    """A Job whose pods do nothing and end well; their image is here."""
    container = {"name": "box", "image": IMAGE, "command": ["/bin/busybox", "true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"completions": pods, "parallelism": PARALLELISM, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
