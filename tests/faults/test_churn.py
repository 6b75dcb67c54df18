"""Pods come and go by the hundred: what the server holds, and what is on the machine, does not grow with them."""

import os
from pathlib import Path

import pytest

import pod_image
from cluster_builders import KUBECTL, LiveCluster, eventually, machine
from fault_builders import on_the_machine
from pod_cluster import PodsCluster, pod
from tiphys.node.volumes import mounts

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
BATCH = 25
THREADS_MAX = 40  # pools of threads fill up to their bounds too
BOUNDED = ("threads", "memory")
GROWTH_BYTES_MAX = 32 << 20  # 18 MB were seen, while the records of recent changes and the pages of the store fill up


@pytest.fixture(scope="module")
def cluster(host_lock, tmp_path_factory):
    if KUBECTL is None:
        pytest.skip("no kubectl on this machine")
    live = PodsCluster(tmp_path_factory.mktemp("h"), number=10)
    pod_image.build(live.images)
    try:
        live.up()
        yield live
    finally:
        live.close()
        mounts.unmount_below(live.images)


def come_and_go(cluster, batch):
    names = [f"churn-{batch}-{number}" for number in range(BATCH)]
    cluster.apply(*(pod(name, automountServiceAccountToken=True) for name in names))
    cluster.kubectl("wait", "pods", "--all", "--for=condition=Ready", "--timeout=80s")
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=80s")
    # They are kept for an hour, by design.
    cluster.kubectl("delete", "events", "--all", "--wait=false")
    assert on_the_machine(cluster) == {}


def held(cluster: LiveCluster) -> dict[str, int]:
    """What the server holds and what is on the machine, as numbers."""
    process = Path(f"/proc/{cluster.server_pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    ours = [line for line in machine(cluster) if any(name in line for name in cluster.names)]
    found = {"descriptors": len(os.listdir(process / "fd")), "threads": int(status["Threads"])}
    found |= {
        kind: sum(line.startswith(kind) for line in ours) for kind in ("rule", "link", "mount", "cgroup", "route")
    }
    return {**found, "memory": int(status["VmRSS"].split()[0]) * 1024}


@pytest.mark.parametrize(("first", "pods"), [(25, 75), pytest.param(500, 500, marks=pytest.mark.slow)])
def test_nothing_grows_with_pods_that_are_gone(cluster, first, pods):
    for batch in range(first // BATCH):
        come_and_go(cluster, f"first-{batch}")
    before = held(cluster)
    for batch in range(pods // BATCH):
        come_and_go(cluster, batch)

    def grown():
        now = held(cluster)
        return {kind: (before[kind], now[kind]) for kind in now if kind not in BOUNDED and now[kind] > before[kind]}

    eventually(lambda: not grown(), f"what is held as before; grown: {grown()}", 20)
    now = held(cluster)
    assert now["threads"] <= THREADS_MAX, (before, now)
    # Watchers may ask for the changes of two minutes: only then is memory as full of them as it gets.
    assert first < 500 or now["memory"] - before["memory"] < GROWTH_BYTES_MAX, (before, now)
