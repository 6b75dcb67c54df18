"""From a step of load to the new replica that is Ready: an autoscaler by processor time, on a cluster with its node."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from benchmarks.frame import Figure
from benchmarks.machine import IMAGE, SECONDS_MAX, Api, Cluster, Pods, cluster

RUNS = 3
# Quiet until somebody makes a file, then as busy as its limit lets it be.
SCRIPT = "trap exit TERM; while [ ! -e /go ]; do /bin/busybox sleep 0.05; done; while :; do :; done"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
AUTOSCALERS = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"


def measure() -> list[Figure]:
    with cluster() as running:
        delays = sorted(_delay(running, f"load-{number}") for number in range(RUNS))
    return [Figure("HPA: load step → new replica Ready", delays[len(delays) // 2], 5, "s", at_most=True)]


def _delay(running: Cluster, name: str) -> float:
    api, pods = Api(running), Pods(running)
    api.call("POST", DEPLOYMENTS, _deployment(name))
    api.call("POST", AUTOSCALERS, _autoscaler(name))
    pods.wait(lambda: _count(pods, name) == 1)
    _wait_until_measured(api, name)
    (pod,) = (one for one in pods.ready if one.startswith(name))
    kubeconfig = str(running.directory / "kubeconfig")
    command = ["kubectl", "--kubeconfig", kubeconfig, "exec", pod, "--", "/bin/busybox", "touch", "/go"]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    pods.wait(lambda: _count(pods, name) == 2)
    delay = max(at for one, at in pods.ready.items() if one.startswith(name)) - began
    for path in (AUTOSCALERS, DEPLOYMENTS):
        api.call("DELETE", f"{path}/{name}")
    pods.wait(lambda: sum(one.startswith(name) for one in pods.gone) == 2)
    return delay


def _count(pods: Pods, name: str) -> int:
    return sum(one.startswith(name) for one in pods.ready)


def _wait_until_measured(api: Api, name: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        status = api.call("GET", f"{AUTOSCALERS}/{name}").get("status", {})
        if any(one["type"] == "ScalingActive" and one["status"] == "True" for one in status.get("conditions", ())):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the autoscaler has not seen its pod within {SECONDS_MAX:.0f} s: {status}")


def _deployment(name: str) -> dict[str, Any]:
    resources = {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}}
    container = {"name": "box", "image": IMAGE, "command": ["/bin/busybox", "sh", "-c", SCRIPT], "resources": resources}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}, "template": template}}


def _autoscaler(name: str) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": 50}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {"metadata": {"name": name}, "spec": {"scaleTargetRef": scaled, "maxReplicas": 2, "metrics": [metric]}}
