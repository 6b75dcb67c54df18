"""Volumes of a driver that serves in this process and mounts nothing: what it is asked, when, and what is undone."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from builders import node
from csi_builders import CsiDriver
from node_builders import new_pod, settings
from storage_builders import claim, volume
from tiny_api import TinyApi
from tiphys.api import resources
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.node.csi import records, request
from tiphys.node.csi.volumes import CsiVolumes, DeviceFailed, NotReady
from tiphys.node.devices.devices import Devices
from tiphys.node.drivers import Drivers
from tiphys.node.environment import Sources
from tiphys.node.objects import Objects
from tiphys.node.server.readings import FileSystem
from tiphys.node.volumes.claims import Bound
from tiphys.node.volumes.context import Context, VolumeProblem

NAME = "disk.example.com"
CSI_NODES = resources.get("storage.k8s.io", "v1", "csinodes")
CSI_DRIVERS = resources.get("storage.k8s.io", "v1", "csidrivers")
ATTACHMENTS = resources.get("storage.k8s.io", "v1", "volumeattachments")
NODES = resources.get("", "v1", "nodes")
INLINE = {"name": "v", "csi": {"driver": NAME, "volumeAttributes": {"a": "b"}}}


class Bench:
    """A node's drivers, and one driver."""

    def __init__(self, root, client, **options):
        self.root, self.client = root, client
        self.settings = settings(root)
        self.driver = CsiDriver(self.settings.data_dir, NAME, state=root / "state", mounting=False, **options)
        self.tasks = []
        self.begin_node()

    def begin_node(self):
        recorder = Recorder(self.client, "kubelet")
        self.volumes = CsiVolumes(self.client, Objects(self.client), recorder, self.settings, lambda: 0.0)
        self.drivers = Drivers(self.client, self.volumes, Devices(self.settings), self.settings)
        self.drivers.node = lambda: node("n1")
        self.tasks.append(asyncio.create_task(self.drivers.run()))

    async def serve(self):
        self.serving = asyncio.create_task(self.driver.serve())
        self.tasks.append(self.serving)
        await self.until(lambda: NAME in self.volumes.drivers and self.driver.statuses)

    async def until(self, condition):
        for _ in range(500):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never came")

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []

    async def declare(self, **spec):
        kind = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": NAME}}
        await self.client.create(CSI_DRIVERS, {**kind, "spec": spec})

    async def attach(self, **status):
        name = request.attachment_name(request.of_volume(PERSISTENT.volume, read_only=False), "n1")
        await self.client.create(ATTACHMENTS, {"metadata": {"name": name}, "status": status})

    def context(self, uid="u1", **fields):
        pod = new_pod(**fields)
        pod["metadata"]["uid"] = uid
        return Context(pod, Objects(self.client), self.settings, Sources(), lambda: 0.0)

    def show(self, uid="u1", **fields):
        return self.volumes.show_claim(self.context(uid, **fields), {"name": "v"}, PERSISTENT)


def persistent(size="1Gi"):
    bound = claim(volume="v", bound=True)
    source = {"csi": {"driver": NAME, "volumeHandle": "h1", "fsType": "ext4", "volumeAttributes": {"a": "b"}}}
    held = volume(claimed=bound, source=source)
    held["spec"]["capacity"] = {"storage": size}
    return Bound({**bound, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}, held)


PERSISTENT = persistent()


@asynccontextmanager
async def bench(root, **options):
    client = Client(TinyApi())
    await client.create(NODES, {"kind": "Node", "metadata": {"name": "n1"}})
    made = Bench(root, client, **options)
    try:
        yield made
    finally:
        await made.end()


async def test_a_driver_that_shows_its_socket_is_listed_and_one_that_goes_is_not(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        assert b.driver.statuses == [{"plugin_registered": True, "error": ""}]
        [listed] = (await b.client.get(CSI_NODES, "n1"))["spec"]["drivers"]
        zone = "topology.example.com/zone"
        assert listed == {"name": NAME, "nodeID": "id-of-n1", "topologyKeys": [zone], "allocatable": {"count": 7}}
        meta = (await b.client.get(NODES, "n1"))["metadata"]
        assert json.loads(meta["annotations"]["csi.volume.kubernetes.io/nodeid"]) == {NAME: "id-of-n1"}
        assert meta["labels"] == {zone: "a"}
        b.serving.cancel()
        await b.until(lambda: NAME not in b.volumes.drivers)
        await b.until(
            lambda: not b.client._handler.objects["apis/storage.k8s.io/v1/csinodes", "", "n1"]["spec"]["drivers"]
        )


async def test_an_inline_volume_is_published_with_what_the_driver_wants_to_know_and_undone(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        await b.declare(volumeLifecycleModes=["Ephemeral"], podInfoOnMount=True, tokenRequests=[{"audience": "x"}])
        path = await b.volumes.show_inline(b.context(), INLINE)
        assert await b.volumes.show_inline(b.context(), INLINE) == path
        assert b.driver.methods == ["NodePublishVolume"]
        told = b.driver.last("NodePublishVolume")
        assert told["target_path"] == path and told["volume_context"]["csi.storage.k8s.io/pod.name"] == "web"
        tokens = json.loads(told["volume_context"]["csi.storage.k8s.io/serviceAccount.tokens"])
        assert tokens == {"x": {"token": "token-of-default", "expirationTimestamp": "2037-01-15T08:00:00Z"}}
        await b.volumes.release("u1")
        await b.volumes.release("u1")
        assert b.driver.methods == ["NodePublishVolume", "NodeUnpublishVolume"]
        assert records.of_pods(b.settings.pods_dir) == {}


async def test_a_volume_is_staged_once_for_the_node_and_unstaged_after_the_last_pod(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        await b.declare(attachRequired=False)
        await asyncio.gather(b.show("u1"), b.show("u2"))
        assert sorted(b.driver.methods) == ["NodePublishVolume", "NodePublishVolume", "NodeStageVolume"]
        staged = b.driver.last("NodeStageVolume")["staging_target_path"]
        assert b.driver.last("NodePublishVolume")["staging_target_path"] == staged
        await b.volumes.release("u1")
        assert "NodeUnstageVolume" not in b.driver.methods
        await b.volumes.release("u2")
        assert b.driver.methods[-2:] == ["NodeUnpublishVolume", "NodeUnstageVolume"]
        assert records.staged(b.settings.csi_dir) == {}


async def test_a_pod_waits_for_the_attachment_and_the_driver_gets_what_that_gave(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        with pytest.raises(NotReady, match="not attached yet") as waits:
            await b.show()
        assert not waits.value.is_told and b.driver.methods == []
        woken = asyncio.Event()
        b.volumes.wait("u1", woken.set)
        b.drivers.observe({}, {"status": {"volumesAttached": [{"name": "x"}]}})
        assert woken.is_set()
        await b.attach(attached=True, attachmentMetadata={"device": "/dev/x"})
        await b.show()
        assert b.driver.last("NodeStageVolume")["publish_context"] == {"device": "/dev/x"}
        assert b.volumes.in_use() == [f"kubernetes.io/csi/{NAME}^h1"]
        await b.volumes.release("u1")
        assert b.volumes.in_use() == []


async def test_without_its_driver_a_pod_is_told_and_woken_when_it_comes(tmp_path):
    async with bench(tmp_path) as b:
        text = f"driver name {NAME} not found in the list of registered CSI drivers"
        with pytest.raises(NotReady, match=text):
            await b.show()
        woken = asyncio.Event()
        b.volumes.wait("u1", woken.set)
        await b.serve()
        assert woken.is_set()


async def test_what_the_driver_refuses_is_said_in_its_words(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        await b.declare(attachRequired=False)
        b.driver.fails = {"NodeStageVolume"}
        text = 'MountVolume.MountDevice failed for volume "v" : rpc error: code = Internal desc = NodeStageVolume went'
        with pytest.raises(DeviceFailed, match=text):
            await b.show()
        b.driver.fails = {"NodePublishVolume"}
        with pytest.raises(VolumeProblem, match=r"^rpc error: code = Internal desc = NodePublishVolume went wrong$"):
            await b.show()


async def test_after_a_crash_what_nobody_has_any_more_is_undone_when_the_driver_is_there(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        await b.declare(attachRequired=False)
        await b.show("u1")
        await b.end()
        b.begin_node()
        with pytest.raises(VolumeProblem, match="not found in the list of registered CSI drivers"):
            await b.volumes.release("u1")
        b.drivers.leftovers = lambda: b.volumes.release("u1")
        await b.serve()
        await b.until(lambda: b.driver.methods[-2:] == ["NodeUnpublishVolume", "NodeUnstageVolume"])


async def test_a_volume_that_was_staged_before_a_crash_came_is_unstaged(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        await b.declare(attachRequired=False)
        b.driver.fails = {"NodePublishVolume"}
        with pytest.raises(VolumeProblem):
            await b.show("u1")
        for directory in records.of_pods(b.settings.pods_dir):
            records.remove(directory)
        await b.end()
        b.begin_node()
        await b.serve()
        await b.until(lambda: b.driver.methods[-1] == "NodeUnstageVolume")


async def test_a_volume_that_has_grown_is_expanded_and_the_claim_says_so(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        await b.declare(attachRequired=False)
        grown = persistent("3Gi")
        claims = resources.get("", "v1", "persistentvolumeclaims")
        await b.client.create(claims, grown.claim, "shop")
        await b.volumes.show_claim(b.context(), {"name": "v"}, grown)
        assert b.driver.last("NodeExpandVolume")["capacity_range"]["required_bytes"] == 3 << 30
        told = await b.client.get(claims, grown.claim["metadata"]["name"], "shop")
        assert told["status"]["capacity"] == {"storage": "3Gi"}


async def test_a_block_device_is_published_at_a_path_of_its_own_and_taken_away(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        await b.declare(attachRequired=False)
        block = persistent()
        block.volume["spec"]["volumeMode"] = "Block"
        path = await b.volumes.show_claim(b.context(securityContext={"fsGroup": 7}), {"name": "v"}, block)
        told = b.driver.last("NodePublishVolume")
        assert told["target_path"] == path == str(b.settings.csi_dir / "volumeDevices" / "publish" / "v" / "u1")
        assert told["volume_capability"]["mount"] is None
        assert told["staging_target_path"] == str(b.settings.csi_dir / "volumeDevices" / "staging" / "v")
        await b.volumes.release("u1")
        assert b.driver.methods[-2:] == ["NodeUnpublishVolume", "NodeUnstageVolume"]
        assert records.of_pods(b.settings.pods_dir) == records.staged(b.settings.csi_dir) == {}


async def test_a_driver_says_how_full_its_volumes_are(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        await b.declare(attachRequired=False)
        b.volumes._stats._now = lambda: 5.0
        path = await b.show("u1")
        assert await b.volumes.measured("u1") == {path: FileSystem(3, 1, 2, 0, 0)}
        b.serving.cancel()
        assert await b.volumes.measured("u1") == {path: FileSystem(3, 1, 2, 0, 0)}
        assert await b.volumes.measured("u2") == {}


async def test_a_driver_that_wants_to_be_asked_again_is_asked_again(tmp_path):
    async with bench(tmp_path) as b:
        await b.serve()
        await b.declare(attachRequired=False, requiresRepublish=True)
        b.volumes._now = lambda: 5.0
        await b.show("u1")
        await b.show("u1")
        assert b.driver.methods == ["NodeStageVolume", "NodePublishVolume", "NodePublishVolume"]
        assert (b.volumes.due_at("u1"), b.volumes.due_at("u2")) == (95.0, 0.0)
