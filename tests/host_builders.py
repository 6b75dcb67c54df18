"""A node on this machine's kernel (crun, conmon, namespaces), with a small API and an image made of busybox."""

import asyncio
import hashlib
import io
import json
import subprocess
import tarfile
from contextlib import asynccontextmanager

from node_builders import MACHINE, Box, settings
from tiny_api import TinyApi
from tiphys.client.client import Client
from tiphys.network.kernel import KernelNetwork
from tiphys.network.settings import NetworkSettings
from tiphys.node.agent import Doors, NodeAgent
from tiphys.runtime.crun import CrunRuntime
from tiphys.runtime.settings import RuntimeSettings

COMMANDS = ("sh", "cat", "echo", "head", "httpd", "mkdir", "ps", "sleep", "stty", "tar", "test", "true")


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
    commands = [(f"bin/{name}", "busybox") for name in COMMANDS]
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
        self.runtime = CrunRuntime(
            RuntimeSettings(*(self.root / p for p in ("rt", "run", "st", "srun")), "tiphysstreams")
        )
        await self.runtime.open()
        doors = Doors(self.client, self.runtime, self.network, MACHINE, self.withdrawn)
        self.agent = NodeAgent(settings(self.root, tmpfs_volumes=True), doors)
        self.task = asyncio.create_task(self.agent.run())
        await asyncio.wait_for(self.agent.ready.wait(), 10)

    async def kill_agent(self):
        await super().kill_agent()
        await self.runtime.close()


@asynccontextmanager
async def real_box(root):
    """In a network namespace of its own (fixture `own_network`), under the machine-wide lock."""
    given = {"run_dir": root / "net", "bridge": "tips0", "pod_cidr": "10.95.0.0/28"}
    network = KernelNetwork(NetworkSettings(**given, service_cidr="10.97.0.0/24", table="tiphysstreams"))
    api = TinyApi()
    box = RealBox(api, Client(api), None, network, root)
    await network.open()
    await box.start_agent()
    try:
        await box.runtime.load(image_archive(root))
        yield box
    finally:
        await Box.kill_agent(box)
        await box.runtime.purge()
        await box.runtime.close()
        await network.purge()
        box.agent.parts.volumes.purge()
        subprocess.run(["umount", "-l", root / "st" / "overlay"], check=False, stderr=subprocess.DEVNULL)
