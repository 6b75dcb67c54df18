"""Devices of a plugin, over real sockets: counted, given once, remembered."""

import asyncio

import pytest

from node_builders import container, new_pod, settings
from plugin_builders import DevicePlugin
from tiphys.node.devices.devices import Devices, DevicesFailed, is_extended
from tiphys.node.devices.grant import given
from tiphys.node.devices.taker import DeviceTaker
from tiphys.node.plugins.registrar import Info, Refused
from tiphys.runtime.door import ContainerSpec, Device, Mount
from tiphys.wire.grpc import RpcError

NULL = "example.com/null"


class Bench:
    """Devices that run, and a plugin that serves."""

    def __init__(self, root, **options):
        self.settings = settings(root)
        self.settings.device_plugins_dir.mkdir(parents=True)
        self.plugin = DevicePlugin(self.settings.device_plugins_dir, **options)
        self.devices = Devices(self.settings)
        self.changed = asyncio.Event()
        self.tasks = []

    def begin(self):
        self.devices.on_change = self.changed.set
        self.devices.open()
        self.tasks = [asyncio.create_task(self.devices.run()), asyncio.create_task(self.plugin.serve())]

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def again(self):
        """As after a kill of the agent."""
        await self.end()
        self.devices = Devices(self.settings)
        self.begin()
        await asyncio.sleep(0)

    async def until(self, capacity, allocatable):
        async with asyncio.timeout(5):
            while self.devices.resources().get(NULL) != (capacity, allocatable):
                await self.changed.wait()
                self.changed.clear()


def on_a_bench(root, scenario, **options):
    async def main():
        bench = Bench(root, **options)
        bench.begin()
        await asyncio.sleep(0)
        try:
            await bench.plugin.register()
            await bench.until(len(bench.plugin.health), len(bench.plugin.health))
            await scenario(bench)
        finally:
            await bench.end()

    asyncio.run(main())


def pod_with(count=1, uid="u1", name="c"):
    pod = new_pod(containers=[container(name, resources={"limits": {NULL: str(count)}})])
    pod["metadata"]["uid"] = uid
    return pod


async def answers(bench, pod):
    return await bench.devices.for_container(pod, pod["spec"]["containers"][0])


def test_unhealthy_devices_are_counted_and_not_given_those_of_a_lost_plugin_neither(tmp_path):
    async def scenario(bench):
        bench.plugin.health["d0"] = "Unhealthy"
        bench.plugin.tell()
        await bench.until(2, 1)
        bench.tasks[1].cancel()
        await bench.until(2, 0)
        assert "no healthy devices present" in bench.devices.shortage(pod_with())

    on_a_bench(tmp_path, scenario)


def test_a_pod_gets_devices_of_its_own_and_gives_them_back(tmp_path):
    async def scenario(bench):
        await bench.devices.allocate(pod_with(1, "u1"))
        await bench.devices.allocate(pod_with(1, "u2"))
        assert bench.plugin.asked == [("allocate", ["d0"]), ("allocate", ["d1"])]
        assert bench.devices.shortage(pod_with()).endswith("Requested: 1, Available: 0")
        with pytest.raises(DevicesFailed, match="Requested: 1, Available: 0"):
            await bench.devices.allocate(pod_with(1, "u3"))
        bench.devices.release("u1")
        assert bench.devices.shortage(pod_with()) == ""

    on_a_bench(tmp_path, scenario)


def test_pods_that_come_at_once_never_share_a_device(tmp_path):
    async def scenario(bench):
        pods = [pod_with(1, f"u{number}") for number in range(3)]
        ends = await asyncio.gather(*map(bench.devices.allocate, pods), return_exceptions=True)
        assert [type(end) for end in ends] == [type(None), type(None), DevicesFailed]
        assert sorted(ids for _, [ids] in bench.plugin.asked) == ["d0", "d1"]

    on_a_bench(tmp_path, scenario)


def test_a_plugin_that_refuses_leaves_the_pod_without_devices(tmp_path):
    async def scenario(bench):
        bench.plugin.refuses = "out of order"
        with pytest.raises(DevicesFailed, match="rpc error: code = Unknown desc = out of order"):
            await bench.devices.allocate(pod_with(2))
        assert bench.devices.shortage(pod_with(2)) == ""

    on_a_bench(tmp_path, scenario)


def test_a_plugin_is_asked_for_its_preference_and_told_before_each_start(tmp_path):
    async def scenario(bench):
        bench.plugin.prefers = ["d1"]
        await bench.devices.allocate(pod_with())
        await answers(bench, pod_with())
        assert bench.plugin.asked == [("prefer", 1), ("allocate", ["d1"]), ("pre-start", ["d1"])]

    on_a_bench(tmp_path, scenario, get_preferred_allocation_available=True, pre_start_required=True)


def test_what_was_given_outlives_the_agent_and_is_not_asked_for_again(tmp_path):
    async def scenario(bench):
        await bench.devices.allocate(pod_with(1, "u1"))
        before = await answers(bench, pod_with(1, "u1"))
        await bench.again()
        assert bench.devices.resources() == {NULL: (0, 0)}
        assert bench.devices.shortage(pod_with()) == f"cannot allocate unregistered device {NULL}"
        await bench.plugin.register()
        await bench.until(2, 2)
        assert await answers(bench, pod_with(1, "u1")) == before
        assert "Available: 1" in bench.devices.shortage(pod_with(2))
        bench.devices.release_all_but(set())
        assert bench.devices.shortage(pod_with(2)) == ""

    on_a_bench(tmp_path, scenario)


def test_one_that_was_admitted_before_a_crash_could_write_it_down_is_given_devices_at_its_start(tmp_path):
    async def scenario(bench):
        found = await answers(bench, pod_with(1, "u9"))
        assert found[0]["envs"]["DEVICES"] == "d0"

    on_a_bench(tmp_path, scenario)


def test_a_plugin_may_show_itself_by_a_socket_instead(tmp_path):
    async def scenario(bench):
        taker = DeviceTaker(bench.devices, bench.settings)
        info = Info(
            "DevicePlugin", "example.com/other", str(bench.settings.device_plugins_dir / "null.sock"), ("v1beta1",)
        )
        await taker.add(info)
        async with asyncio.timeout(5):
            while bench.devices.resources().get("example.com/other") != (2, 2):
                await bench.changed.wait()
                bench.changed.clear()
        await taker.remove(info)
        assert bench.devices.resources()["example.com/other"] == (0, 0)
        with pytest.raises(Refused, match="manager version v1beta1 is not among"):
            await taker.add(Info("DevicePlugin", "example.com/other", info.endpoint, ("v1",)))

    on_a_bench(tmp_path, scenario)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"version": "v1"}, 'requested API version "v1" is not supported by kubelet. Supported version is "v1beta1"'),
        ({"resource_name": "cpu"}, 'the ResourceName "cpu" is invalid'),
        ({"endpoint": "../x.sock"}, 'the endpoint "../x.sock" is no name'),
    ],
)
def test_a_registration_that_makes_no_sense_is_refused(tmp_path, changes, text):
    async def scenario(bench):
        with pytest.raises(RpcError) as caught:
            await bench.plugin.register(**changes)
        assert text in str(caught.value)

    on_a_bench(tmp_path, scenario)


def test_a_name_needs_a_domain_that_is_not_of_kubernetes():
    names = ["nvidia.com/gpu", "kubernetes.io/x", "a.kubernetes.io/x", "requests.a.com/x", "gpu", "a.com/b/c", "a.com/"]
    assert [name for name in names if is_extended(name)] == ["nvidia.com/gpu"]


def test_a_containers_own_environment_wins():
    answer = {
        "envs": {"A": "plugin", "B": "plugin"},
        "mounts": [{"host_path": "/h", "container_path": "/c", "read_only": True}],
        "devices": [{"host_path": "/dev/h", "container_path": "/dev/c", "permissions": ""}],
        "annotations": {"x": "y"},
    }
    spec = given(ContainerSpec("i", "s", "n", "image", "/log", env=[("A", "own")]), [answer])
    assert dict(spec.env) == {"A": "own", "B": "plugin"} and spec.annotations == {"x": "y"}
    assert (spec.mounts, spec.devices) == ([Mount("/h", "/c", read_only=True)], [Device("/dev/h", "/dev/c", "rwm")])
