"""
Server, monitors, containers and pods are killed at random under a mixed workload.

Afterwards: no pod ran twice at once and no two pods had one identity of a StatefulSet (each holds a lock that the
kernel frees when its last process ends), a Job's counts are exact, the machine runs what the API tells, and when all is
deleted nothing of it is left.
"""

import os
import random
import signal
import time
from collections import Counter

import pytest

import pod_image
from cluster_builders import KUBECTL, eventually, machine
from fault_builders import monitors, on_the_machine, told
from pod_cluster import PodsCluster, pod
from pod_image import IMAGE
from tiphys.node.volumes import mounts

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
SEED = 20_260_311
COMPLETIONS = 12
ENVIRONMENT = [
    {"name": field.upper(), "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{field}"}}} for field in ("uid", "name")
]


def template(app, seconds, lock, policy, seen):
    """The pod holds a lock named after its uid or its name."""
    command = ["python3", "/tool.py", "hold", "/seen", f"$({lock})", seconds]
    container = {"name": "c", "image": IMAGE, "command": command, "env": ENVIRONMENT}
    container["volumeMounts"] = [{"name": "seen", "mountPath": "/seen"}]
    spec = {"containers": [container], "restartPolicy": policy, "terminationGracePeriodSeconds": 2}
    spec["volumes"] = [{"name": "seen", "hostPath": {"path": str(seen), "type": "DirectoryOrCreate"}}]
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def workload(seen):
    web = {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}}
    web["template"] = template("web", "1000", "UID", "Always", seen)
    db = {"replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}}
    db["template"] = template("db", "1000", "NAME", "Always", seen)
    work = {"completions": COMPLETIONS, "parallelism": 4, "backoffLimit": 1000}
    work["template"] = template("work", "0.5", "UID", "Never", seen)
    kinds = (
        ("apps/v1", "Deployment", "web", web),
        ("apps/v1", "StatefulSet", "db", db),
        ("batch/v1", "Job", "work", work),
    )
    return [{"apiVersion": v, "kind": k, "metadata": {"name": n}, "spec": spec} for v, k, n, spec in kinds]


@pytest.fixture(scope="module")
def cluster(host_lock, tmp_path_factory):
    if KUBECTL is None:
        pytest.skip("no kubectl on this machine")
    live = PodsCluster(tmp_path_factory.mktemp("m"), number=9)
    pod_image.build(live.images)
    try:
        live.up()
        # Groups for classes of pods are made with the first of each and stay.
        live.apply(pod("first", "true"))
        live.told("first")
        live.kubectl("delete", "pod", "first")
        yield live
    finally:
        live.close()
        mounts.unmount_below(live.images)


def kill_server(cluster, _):
    os.kill(cluster.server_pid, signal.SIGKILL)
    cluster.up()


def kill_one(pids, dice):
    if pids:
        try:
            os.kill(dice.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return  # it was faster


def kill_monitor(cluster, dice):
    kill_one(monitors(cluster), dice)


def kill_container(cluster, dice):
    kill_one(sorted(pid for pids in on_the_machine(cluster).values() for pid in pids), dice)


def delete_pod(cluster, dice):
    names = sorted(one["metadata"]["name"] for one in cluster.get("pods", "-l", "app in (web,db)")["items"])
    if names:
        cluster.try_kubectl("delete", "pod", dice.choice(names), "--wait=false")


def restart_rollout(cluster, dice):
    # kubectl refuses a second restart within a second.
    cluster.try_kubectl("rollout", "restart", dice.choice(("deployment/web", "statefulset/db")))


FAULTS = (kill_server, kill_monitor, kill_container, kill_container, delete_pod, restart_rollout)
ROUNDS = [(0, 8), *(pytest.param(turn, 30, marks=pytest.mark.slow) for turn in range(1, 6))]


@pytest.mark.parametrize(("turn", "faults"), ROUNDS)
def test_nothing_runs_twice_and_nothing_is_left(cluster, tmp_path, turn, faults):
    dice, before = random.Random(SEED + turn), kinds_of(cluster)
    cluster.apply(*workload(tmp_path))
    for _ in range(faults):
        time.sleep(dice.uniform(0, 0.5))
        dice.choice(FAULTS)(cluster, dice)
    cluster.kubectl("wait", "job/work", "--for=condition=Complete", "--timeout=80s")
    for name in ("deployment/web", "statefulset/db"):
        cluster.kubectl("rollout", "status", name, "--timeout=80s")
    assert not (tmp_path / "twice").exists(), (tmp_path / "twice").read_text()
    counts_are_exact(cluster)
    eventually(lambda: on_the_machine(cluster).keys() == told(cluster).keys(), "the machine as the API tells")
    cluster.kubectl("delete", "job/work", "deployment/web", "statefulset/db", "--timeout=80s")
    cluster.kubectl("wait", "pods", "--all", "--for=delete", "--timeout=80s")
    assert on_the_machine(cluster) == {} and monitors(cluster) == []
    eventually(lambda: kinds_of(cluster) == before, f"as before: {before}; now {lines_of(cluster)}", 10)


def counts_are_exact(cluster):
    """What the Job tells is what its pods tell: none lost, none counted twice."""
    status = cluster.get("job", "work")["status"]
    phases = Counter(one["status"]["phase"] for one in cluster.get("pods", "-l", "app=work")["items"])
    assert status["succeeded"] == COMPLETIONS == phases["Succeeded"]
    assert status.get("failed", 0) == phases["Failed"] and not status.get("active")


def kinds_of(cluster):
    """How many rules, links, mounts, groups there are of this cluster."""
    return Counter(line.split()[0] for line in lines_of(cluster))


def lines_of(cluster):
    ours = (*cluster.names, str(cluster.root))
    return [line for line in machine(cluster) if any(name in line for name in ours) and not line.startswith("file")]
