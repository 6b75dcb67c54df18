"""The server and its agent are killed while pods start, run and stop: each pod runs once, none is orphaned."""

import json
import os
import random
import signal
import threading
import time

import pytest

from cluster_builders import KUBECTL, TOOLS, LiveCluster, eventually
from fault_builders import on_the_machine, told

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]
SEED = 20_260_102
STARTED = "echo started >> /seen/starts; trap exit TERM; sleep 1000 & wait"


@pytest.fixture(scope="module")
def cluster(host_lock, tmp_path_factory):
    """Up, with the example's images. Purged at the end."""
    if KUBECTL is None:
        pytest.skip("no kubectl on this machine")
    live = LiveCluster(tmp_path_factory.mktemp("k"), number=8)
    try:
        live.up()
        live.build_example()
        yield live
    finally:
        live.close()


@pytest.fixture(autouse=True)
def empty(cluster):
    """Each test begins without pods, also after one that failed."""
    emptied(cluster)


def pod(name, seen):
    """It writes a line each time that its container starts."""
    container = {"name": "c", "image": TOOLS, "command": ["sh", "-c", STARTED]}
    container["volumeMounts"] = [{"name": "seen", "mountPath": "/seen"}]
    volume = {"name": "seen", "hostPath": {"path": str(seen / name), "type": "DirectoryOrCreate"}}
    spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 5}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "seen"}}, "spec": spec}


def applied(cluster, pods):
    return cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))


def killed_and_started(cluster, after_seconds):
    time.sleep(after_seconds)
    os.kill(cluster.server_pid, signal.SIGKILL)
    cluster.up()


def all_is_as_told(cluster, names, seen):
    """Exactly these pods run, each container was started once, and no process is left of any other."""
    eventually(lambda: {name for name, _ in told(cluster).values()} == names, f"{len(names)} pods run")
    eventually(lambda: on_the_machine(cluster).keys() == told(cluster).keys(), "the machine as the API tells")
    assert [restarts for _, restarts in told(cluster).values()] == [0] * len(names)
    starts = {name: (seen / name / "starts").read_text().count("started") for name in names}
    assert starts == dict.fromkeys(names, 1)


def emptied(cluster):
    cluster.kubectl("delete", "pods", "--all", "--timeout=80s")
    assert on_the_machine(cluster) == {}


ROUNDS = [*range(3), *(pytest.param(turn, marks=pytest.mark.slow) for turn in range(3, 20))]


@pytest.mark.parametrize("turn", ROUNDS)
def test_killed_while_pods_start(cluster, tmp_path, turn):
    names = {f"start{turn}-{number}" for number in range(8)}
    applied(cluster, [pod(name, tmp_path) for name in sorted(names)])
    killed_and_started(cluster, random.Random(SEED + turn).uniform(0, 0.6))
    all_is_as_told(cluster, names, tmp_path)
    emptied(cluster)


@pytest.mark.parametrize("turn", ROUNDS)
def test_killed_while_pods_stop(cluster, tmp_path, turn):
    names = {f"stop{turn}-{number}" for number in range(8)}
    applied(cluster, [pod(name, tmp_path) for name in sorted(names)])
    all_is_as_told(cluster, names, tmp_path)
    stay = set(sorted(names)[4:])
    before = {run: pids for run, pids in on_the_machine(cluster).items() if told(cluster)[run][0] in stay}
    cluster.kubectl("delete", "pods", "--wait=false", *sorted(names - stay))
    killed_and_started(cluster, random.Random(SEED + turn).uniform(0, 0.3))
    eventually(lambda: len(cluster.get("pods")["items"]) == len(stay), "four pods are gone")
    all_is_as_told(cluster, stay, tmp_path)
    assert on_the_machine(cluster) == before
    emptied(cluster)


def test_killed_again_while_it_takes_over(cluster, tmp_path):
    names = {f"again-{number}" for number in range(6)}
    applied(cluster, [pod(name, tmp_path) for name in sorted(names)])
    all_is_as_told(cluster, names, tmp_path)
    before = on_the_machine(cluster)
    for delay in (0.0, 0.2, 0.5):
        os.kill(cluster.server_pid, signal.SIGKILL)
        dead = cluster.server_pid
        starting = threading.Thread(target=cluster.try_up)
        starting.start()
        eventually(lambda: cluster.server_pid != dead, "a new server")  # noqa: B023
        time.sleep(delay)
        os.kill(cluster.server_pid, signal.SIGKILL)
        starting.join()
    cluster.up()
    all_is_as_told(cluster, names, tmp_path)
    assert on_the_machine(cluster) == before
    emptied(cluster)


def test_a_pod_that_was_deleted_while_nobody_ran_is_stopped(cluster, tmp_path):
    """What the API no longer knows is not left on the machine: here the whole API forgets it."""
    applied(cluster, [pod("forgotten", tmp_path), pod("known", tmp_path)])
    all_is_as_told(cluster, {"forgotten", "known"}, tmp_path)
    cluster.kubectl("delete", "pod", "forgotten", "--force", "--grace-period=0", "--wait=false")
    os.kill(cluster.server_pid, signal.SIGKILL)
    cluster.up()
    all_is_as_told(cluster, {"known"}, tmp_path)
    emptied(cluster)


def test_after_a_reboot_all_pods_are_rebuilt(cluster, tmp_path):
    names = {f"boot-{number}" for number in range(4)}
    applied(cluster, [pod(name, tmp_path) for name in sorted(names)])
    all_is_as_told(cluster, names, tmp_path)
    cluster.down()
    assert on_the_machine(cluster) == {}
    cluster.up()
    cluster.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=80s")
    eventually(lambda: {name for name, _ in told(cluster).values()} == names, "all pods run")
    eventually(lambda: on_the_machine(cluster).keys() == told(cluster).keys(), "the machine as the API tells")
    assert {(tmp_path / name / "starts").read_text().count("started") for name in names} == {2}
    emptied(cluster)
