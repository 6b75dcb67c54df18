"""What a node tells of its use: the Summary API's document, Prometheus' text, and where the figures come from."""

import asyncio
import os
import re

import orjson
import pytest

from tiphys.node.server import prometheus, readings, summary
from tiphys.node.server.disks import Disks
from tiphys.node.server.doors import PodPlaces, PodUsage, RunUsage, VolumePlace
from tiphys.node.server.figures import About, Figures
from tiphys.node.server.rates import MACHINE, Measured, Rate, Sample
from tiphys.node.server.readings import FileSystem, Interface, Machine
from tiphys.node.server.summary import Looked, Own, Storage
from tiphys.runtime.disk_usage import DiskUsage, measure
from tiphys.runtime.door import Usage

NOW, MOMENT = 1_800_000_000.0, "2027-01-15T08:00:00Z"
STALLS = {"some": {"avg10": 1.5, "avg60": 0.0, "avg300": 0.0, "total": 7.0}}
USED = Usage(5, 700, 600, 2, NOW, 900, 100, 1000, 12, 1, 3, 9, 4, 8, {"cpu": STALLS, "memory": STALLS, "io": STALLS})
DISK = FileSystem(1000, 400, 500, 100, 60)
POD = {
    "metadata": {"namespace": "shop", "name": "web", "uid": "u"},
    "spec": {"containers": [{"name": "c", "image": "web:1"}]},
    "status": {"startTime": MOMENT},
}
MACHINE_NOW = Machine(
    9, {"MemTotal": 1000, "MemAvailable": 600, "MemFree": 500, "SwapTotal": 50, "SwapFree": 20}, NOW, 3, 1, 80, 4096, {}
)
PLACES = PodPlaces(
    {"c": "/layer"},
    {"c": "/logs"},
    [
        VolumePlace("scratch", "/scratch"),
        VolumePlace("data", "/data", "shop", "claim"),
        VolumePlace("key", "/key", in_memory=True),
    ],
    4,
)
USAGE = PodUsage(POD, "box", USED, {"c": RunUsage("run", NOW - 60, USED)})
NETWORK = [Interface("eth0", 10, 1, 20, 2)]


@pytest.fixture
def looked():
    rates = {"box": Rate(7, 3.0, NOW), "run": Rate(6, 3.0, NOW), MACHINE: Rate(8, 3.0, NOW)}
    sizes = {path: DiskUsage(n, 1) for n, path in enumerate(("/layer", "/logs", "/scratch", "/data", "/key"), 10)}
    storage = Storage(DISK, DISK, sizes, {"/data": FileSystem(77, 7, 70, 9, 1)})
    measured = Measured(Sample(NOW, [USAGE], {}), rates)
    return Looked("n1", MACHINE_NOW, Own(1, 2, NOW), measured, storage, {"u": PLACES}, NETWORK, "eth0", {"u": NETWORK})


def test_the_node_tells_all_that_a_kubelet_does(looked):
    node = summary.summary(looked)["node"]
    assert node.keys() == {
        "nodeName", "systemContainers", "startTime", "cpu", "memory", "network", "fs", "runtime", "rlimit", "swap"
    }  # fmt: skip
    assert node["cpu"] == {"time": MOMENT, "usageNanoCores": 8, "usageCoreNanoSeconds": 9}
    assert (node["memory"]["workingSetBytes"], node["swap"]["swapUsageBytes"]) == (400, 30)
    assert (node["rlimit"]["curproc"], node["network"]["rxBytes"], node["fs"]["inodesUsed"]) == (80, 10, 40)


def test_a_container_tells_rates_limits_and_pressure(looked):
    (container,) = summary.summary(looked)["pods"][0]["containers"]
    psi = {"some": {"total": 7000, "avg10": 1.5, "avg60": 0.0, "avg300": 0.0}}
    assert container["cpu"] == {"time": MOMENT, "usageNanoCores": 6, "usageCoreNanoSeconds": 5, "psi": psi}
    assert (container["memory"]["availableBytes"], container["memory"]["pageFaults"]) == (300, 12)
    assert container["io"]["psi"] == psi and container["swap"]["swapUsageBytes"] == 3
    assert (container["rootfs"]["usedBytes"], container["logs"]["usedBytes"]) == (10, 11)


def test_a_pod_tells_its_volumes_and_what_ends_with_it(looked):
    pod = summary.summary(looked)["pods"][0]
    volumes = {volume["name"]: volume for volume in pod["volume"]}
    assert volumes["data"]["pvcRef"] == {"name": "claim", "namespace": "shop"}
    assert (volumes["data"]["usedBytes"], volumes["scratch"]["usedBytes"]) == (70, 12)
    assert pod["ephemeral-storage"]["usedBytes"] == 10 + 11 + 12
    assert (pod["network"]["name"], pod["process_stats"]) == ("eth0", {"process_count": 2})


def test_only_cpu_and_memory_is_all_that_some_ask_for(looked):
    document = summary.cpu_and_memory(looked)
    assert document["pods"][0].keys() == {"podRef", "startTime", "containers", "cpu", "memory", "swap"}
    assert document["pods"][0]["containers"][0].keys() == {"name", "startTime", "cpu", "memory", "swap"}


def test_metrics_server_finds_what_it_reads():
    text = prometheus.resource([USAGE], MACHINE_NOW, NOW).decode()
    labels = 'container="c",namespace="shop",pod="web"'
    assert f"container_cpu_usage_seconds_total{{{labels}}} 5e-09 1800000000000\n" in text
    assert f"container_start_time_seconds{{{labels}}} 1799999940\n" in text
    assert "node_memory_working_set_bytes 400 1800000000000\n" in text
    assert "# TYPE pod_cpu_usage_seconds_total counter\n" in text


def test_dashboards_find_what_they_read():
    text = prometheus.cadvisor([USAGE], {"u": NETWORK}, MACHINE_NOW, 2).decode()
    one = 'container="c",id="/podbox/run",image="web:1",name="run",namespace="shop",pod="web"'
    assert f'container_cpu_usage_seconds_total{{{one},cpu="total"}} 5e-09 1800000000000\n' in text
    assert f"container_memory_working_set_bytes{{{one}}} 700 1800000000000\n" in text
    assert re.search(r'container_network_receive_bytes_total\{container="".*interface="eth0"\} 10\n', text)


def test_a_claim_tells_how_full_it_is_and_other_volumes_do_not():
    text = prometheus.volumes([PLACES.volumes[1]], {"/data": FileSystem(77, 7, 70, 9, 1)}).decode()
    labels = 'namespace="shop",persistentvolumeclaim="claim"'
    assert f"kubelet_volume_stats_used_bytes{{{labels}}} 70\n" in text
    assert f"kubelet_volume_stats_inodes_used{{{labels}}} 8\n" in text
    assert prometheus.volumes([], {}) == b""


def test_every_metric_is_declared_once_and_stands_together():
    lines = prometheus.cadvisor([USAGE, USAGE], {}, MACHINE_NOW, 2).decode().splitlines()
    declared = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    order = list(dict.fromkeys(re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")))
    assert declared == order


def test_a_directory_is_measured_with_what_is_below(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"x" * 10_000)
    os.link(tmp_path / "below" / "file", tmp_path / "link")
    found = measure(str(tmp_path))
    assert found.inodes == 3 and 10_000 <= found.used_bytes < 40_000
    assert measure(str(tmp_path / "gone")) == DiskUsage()


async def test_sizes_are_kept_for_a_minute_and_nobody_waits_for_newer_ones(tmp_path):
    times, path = [0.0], str(tmp_path)
    disks = Disks(lambda: times[0])
    assert (await disks.sizes([path]))[path].inodes == 1
    (tmp_path / "file").touch()
    times[0] = 59.0
    assert (await disks.sizes([path]))[path].inodes == 1
    times[0] = 61.0
    assert (await disks.sizes([path]))[path].inodes == 1
    for _ in range(500):
        await asyncio.sleep(0.01)
        if (await disks.sizes([path]))[path].inodes == 2:
            return
    pytest.fail("nobody has walked it again")


async def test_the_routes_answer_with_this_machines_figures(here, tmp_path):
    figures = Figures(here, About("n1", tmp_path, tmp_path))
    document = orjson.loads((await figures.stats(["summary"], {})).body)
    assert document["node"]["nodeName"] == "n1" and document["node"]["memory"]["workingSetBytes"] > 0
    assert document["node"]["fs"]["capacityBytes"] > 0 and document["pods"] == []
    for words in (["resource"], ["cadvisor"], []):
        assert b"# TYPE" in (await figures.metrics(words)).body
    assert (await figures.stats(["other"], {})).status == (await figures.metrics(["other"])).status == 404


def test_a_process_that_has_ended_has_no_interfaces():
    assert readings.interfaces(2**22 + 1) == [] and readings.file_system("/no/such/path") is None
    assert readings.read_machine().used_bytes > readings.own_rss_bytes() > 1 << 20
