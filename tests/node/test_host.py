"""The agent on this machine's kernel: crun, conmon, namespaces, mounts; only the API is small."""

import asyncio
import hashlib
import io
import json
import subprocess
import tarfile

import pytest

from node_builders import MACHINE, PODS, Box, container, new_pod, settings
from tiny_api import TinyApi
from tiphys.client.client import Client
from tiphys.network.kernel import KernelNetwork
from tiphys.network.settings import NetworkSettings
from tiphys.node.agent import Doors, NodeAgent
from tiphys.node.log_lines import LogOptions
from tiphys.runtime.crun import CrunRuntime
from tiphys.runtime.settings import RuntimeSettings

pytestmark = pytest.mark.host

WEB = (
    "mkdir -p /tmp/w; echo hello > /tmp/w/index.html; echo serving; httpd -f -p 80 -h /tmp/w & trap 'exit 0' TERM; wait"
)


def pack(path, entries):
    """A tar file of (name, bytes) and (name, link target)."""
    with tarfile.open(path, "w") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)


def image_archive(root):
    """`app:1`: a static busybox and nothing else."""
    with open("/bin/busybox", "rb") as file:
        tool = file.read()
    commands = [(f"bin/{name}", "busybox") for name in ("sh", "cat", "echo", "httpd", "mkdir", "sleep", "test")]
    pack(root / "layer.tar", [("bin/busybox", tool), *commands])
    layer = (root / "layer.tar").read_bytes()
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]}, "rootfs": rootfs}
    manifest = [{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["layer.tar"]}]
    parts = [("c.json", json.dumps(config).encode()), ("manifest.json", json.dumps(manifest).encode())]
    pack(root / "app.tar", [*parts, ("layer.tar", layer)])
    return str(root / "app.tar")


class RealBox(Box):
    """A Box whose agent, runtime and network are real; a new runtime for each agent, as after a kill."""

    async def start_agent(self):
        self.runtime = CrunRuntime(RuntimeSettings(*(self.root / p for p in ("rt", "run", "st", "srun")), "tiphysnode"))
        await self.runtime.open()
        doors = Doors(self.client, self.runtime, self.network, MACHINE)
        self.agent = NodeAgent(settings(self.root, tmpfs_volumes=True), doors)
        self.task = asyncio.create_task(self.agent.run())
        await asyncio.wait_for(self.agent.ready.wait(), 10)

    async def kill_agent(self):
        await super().kill_agent()
        await self.runtime.close()


@pytest.fixture
async def box(tmp_path, host_lock, own_network):
    given = {"run_dir": tmp_path / "net", "bridge": "tipn0", "pod_cidr": "10.93.0.0/28"}
    network = KernelNetwork(NetworkSettings(**given, service_cidr="10.94.0.0/24", table="tiphysnode"))
    api = TinyApi()
    box = RealBox(api, Client(api), None, network, tmp_path)
    await network.open()
    await box.start_agent()
    await box.runtime.load(image_archive(tmp_path))
    try:
        yield box
    finally:
        await Box.kill_agent(box)
        await box.runtime.purge()
        await box.runtime.close()
        await network.purge()
        box.agent.parts.volumes.purge()
        subprocess.run(["umount", "-l", tmp_path / "st" / "overlay"], check=False, stderr=subprocess.DEVNULL)


def web(**fields):
    return container(command=["sh", "-c", WEB], readinessProbe={"httpGet": {"port": 80}}, **fields)


async def logs(box, **options):
    stream = await box.agent.here.logs("shop", "web", "c", LogOptions(**options))
    return b"".join([chunk async for chunk in stream])


async def test_a_pod_serves_survives_a_kill_of_the_agent_and_goes(box):
    await box.create(new_pod(containers=[web()]))
    await box.ready()
    assert await logs(box) == b"serving\n"
    await box.kill_agent()
    await box.start_agent()
    await asyncio.sleep(0.3)
    status = await box.ready()
    assert status["containerStatuses"][0]["restartCount"] == 0
    await box.delete()
    await box.until(lambda status: status == {})
    assert await box.runtime.sandboxes() == [] and await box.network.leases() == []


async def test_volumes_hooks_and_messages_work_in_a_real_container(box):
    script = "cat /t/token; echo bye > /dev/termination-log; exit 3"
    mounts = [{"name": "t", "mountPath": "/t", "readOnly": True}]
    token = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    one = container(command=["sh", "-c", script], volumeMounts=mounts)
    await box.create(new_pod(containers=[one], volumes=[token], restartPolicy="Never"))
    status = await box.until(lambda status: status.get("phase") == "Failed")
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (3, "bye\n")
    assert await logs(box) == b"token-of-default"


async def test_a_crashing_container_runs_again(box):
    await box.create(new_pod(containers=[container(command=["sh", "-c", "echo once; exit 1"])]))
    await box.until(lambda s: s.get("containerStatuses") and s["containerStatuses"][0]["restartCount"] == 1)
    assert await logs(box, previous=True) == b"once\n"


async def test_what_cannot_start_says_why(box):
    await box.create(new_pod(containers=[container(command=["nonsense"])], restartPolicy="Never"))
    status = await box.until(lambda status: status.get("phase") == "Failed")
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert ended["reason"] == "StartError" and "nonsense" in ended["message"]


async def test_sub_paths_and_memory_volumes_are_unmounted_at_the_end(box, tmp_path):
    mounts = [{"name": "disk", "mountPath": "/a", "subPath": "deep/er"}, {"name": "memory", "mountPath": "/b"}]
    volumes = [{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
    one = container(command=["sh", "-c", "echo x > /a/f; echo y > /b/g; sleep 60"], volumeMounts=mounts)
    pod = await box.create(new_pod(containers=[one], volumes=volumes, terminationGracePeriodSeconds=1))
    await box.ready()
    place = tmp_path / "data" / "pods" / pod["metadata"]["uid"] / "volumes" / "kubernetes.io~empty-dir"
    await asyncio.sleep(0.1)
    assert (place / "disk" / "deep" / "er" / "f").read_text() == "x\n" and (place / "memory" / "g").is_file()
    await box.delete()
    await box.until(lambda status: status == {})
    assert not list((tmp_path / "data" / "pods").iterdir())
    with open("/proc/self/mountinfo") as mounted:
        assert str(tmp_path / "data" / "pods") not in mounted.read()


async def test_a_debug_container_and_an_exec_probe_run_in_the_pod(box):
    probe = {"exec": {"command": ["test", "-f", "/tmp/w/index.html"]}}
    await box.create(new_pod(containers=[{**web(), "startupProbe": probe}]))
    await box.ready()
    debug = container("debug", command=["echo", "found you"])
    await box.client.patch(PODS, ("shop", "web"), {"spec": {"ephemeralContainers": [debug]}})
    await box.until(lambda s: "terminated" in (s.get("ephemeralContainerStatuses") or [{"state": {}}])[0]["state"])
    stream = await box.agent.here.logs("shop", "web", "debug", LogOptions())
    assert [chunk async for chunk in stream] == [b"found you\n"]
