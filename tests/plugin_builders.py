"""
A device plugin that the tests bring: it gives /dev/null under another name, an environment and a file.

As a program: `python plugin_builders.py DIRECTORY RESOURCE DEVICES` registers and serves until it is killed.
"""

import asyncio
import sys
from pathlib import Path

from tiphys.node.devices import messages
from tiphys.node.devices.messages import TABLE
from tiphys.wire import grpc, unix_sockets
from tiphys.wire.grpc import RpcError, Target


class DevicePlugin:
    """`health` may be changed, then `tell()`; `asked` is what it was asked for, in order."""

    def __init__(self, directory: Path, resource="example.com/null", *, count=2, name="null.sock", **options):
        self.directory, self.resource, self.name = directory, resource, name
        self.health = {f"d{number}": "Healthy" for number in range(count)}
        self.options = options
        self.asked: list[tuple[str, object]] = []
        self.refuses = ""
        self.prefers: list[str] = []
        self._changed = asyncio.Event()

    async def register(self, **changes):
        request = {"version": "v1beta1", "endpoint": self.name, "resource_name": self.resource, "options": self.options}
        message = TABLE.encode("RegisterRequest", {**request, **changes})
        await grpc.call(Target(str(self.directory / "kubelet.sock")), messages.REGISTER, message, 5)

    async def serve(self):
        methods = {messages.LIST_AND_WATCH: self.list, messages.ALLOCATE: self.allocate}
        methods |= {
            messages.PREFER: self.prefer,
            messages.PRE_START: self.pre_start,
            messages.OPTIONS: self.tell_options,
        }
        with unix_sockets.listen(self.directory / self.name) as listener:
            await grpc.serve(listener, methods)

    def tell(self):
        self._changed.set()

    async def list(self, _):
        while True:
            devices = [{"ID": one, "health": health} for one, health in self.health.items()]
            yield TABLE.encode("ListAndWatchResponse", {"devices": devices})
            self._changed.clear()
            await self._changed.wait()

    async def tell_options(self, _):
        yield TABLE.encode("DevicePluginOptions", self.options)

    async def prefer(self, message):
        [asked] = TABLE.decode("PreferredAllocationRequest", message)["container_requests"]
        self.asked.append(("prefer", asked["allocation_size"]))
        yield TABLE.encode("PreferredAllocationResponse", {"container_responses": [{"deviceIDs": self.prefers}]})

    async def allocate(self, message):
        [asked] = TABLE.decode("AllocateRequest", message)["container_requests"]
        self.asked.append(("allocate", asked["devicesIDs"]))
        if self.refuses:
            raise RpcError(2, self.refuses)
        answer = {
            "envs": {"DEVICES": ",".join(asked["devicesIDs"]), "WHO": "plugin"},
            "devices": [
                {"container_path": f"/dev/{one}", "host_path": "/dev/null", "permissions": "rw"}
                for one in asked["devicesIDs"]
            ],
            "mounts": [{"container_path": "/etc/of-the-plugin", "host_path": "/etc/hostname", "read_only": True}],
            "annotations": {"of": "plugin"},
        }
        yield TABLE.encode("AllocateResponse", {"container_responses": [answer]})

    async def pre_start(self, message):
        self.asked.append(("pre-start", TABLE.decode("PreStartContainerRequest", message)["devicesIDs"]))
        yield b""


async def main(directory: str, resource: str, count: str):
    plugin = DevicePlugin(Path(directory), resource, count=int(count), pre_start_required=True)
    serving = asyncio.create_task(plugin.serve())
    await plugin.register()
    await serving


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
