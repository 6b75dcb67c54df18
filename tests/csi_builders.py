"""
A storage driver that the tests bring: a volume is a directory that it keeps, shown by a bind mount.

What it was told about a volume it writes into it (`told.json`), and what it was asked into `asked` (one JSON a line).
As a program: `python csi_builders.py KUBELET_DIR NAME STATE_DIR`; it registers and serves until it is killed.
"""

import asyncio
import json
import sys
from pathlib import Path

from tiphys.node.csi import abilities, messages
from tiphys.node.csi.messages import TABLE
from tiphys.node.plugins import messages as registration
from tiphys.node.volumes import mounts
from tiphys.wire import grpc, unix_sockets
from tiphys.wire.grpc import RpcError

EVERYTHING = (abilities.CAN_STAGE, abilities.CAN_GET_STATS, abilities.CAN_EXPAND)


class CsiDriver:
    """`fails` are methods that are refused; `mounting` needs root."""

    def __init__(self, kubelet_dir: Path, name="disk.example.com", *, state: Path, can=EVERYTHING, mounting=True):
        self.name, self.state, self.can, self.mounting = name, state, can, mounting
        self.socket = kubelet_dir / "plugins" / name / "csi.sock"
        self.registration = kubelet_dir / "plugins_registry" / f"{name}-reg.sock"
        self.fails: set[str] = set()
        self.statuses: list[dict] = []
        self.topology = {"topology.example.com/zone": "a"}
        for path in (self.socket.parent, self.registration.parent, state):
            path.mkdir(parents=True, exist_ok=True)

    async def serve(self):
        methods = {messages.GET_INFO: self.info, messages.GET_CAPABILITIES: self.capabilities}
        methods |= {messages.GET_STATS: self.stats}
        for path, answer in (
            (messages.STAGE, self.stage), (messages.UNSTAGE, self.take_away), (messages.PUBLISH, self.publish),
            (messages.UNPUBLISH, self.take_away), (messages.EXPAND, self.expand),
        ):  # fmt: skip
            methods[path] = self._answering(path.rpartition("/")[2], answer)
        own = {registration.GET_INFO: self.who, registration.NOTIFY: self.notified}
        try:
            with (
                unix_sockets.listen(self.socket) as serving,
                unix_sockets.listen(self.registration) as registering,
            ):
                await asyncio.gather(grpc.serve(serving, methods), grpc.serve(registering, own))
        finally:
            self.registration.unlink(missing_ok=True)

    @property
    def asked(self):
        file = self.state / "asked"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def methods(self):
        return [one["method"] for one in self.asked]

    def last(self, method):
        return [one for one in self.asked if one["method"] == method][-1]

    async def who(self, _):
        told = {"type": "CSIPlugin", "name": self.name, "endpoint": str(self.socket), "supported_versions": ["1.0.0"]}
        yield registration.TABLE.encode("PluginInfo", told)

    async def notified(self, message):
        self.statuses.append(registration.TABLE.decode("RegistrationStatus", message))
        yield b""

    async def info(self, _):
        told = {"node_id": "id-of-n1", "max_volumes_per_node": 7, "accessible_topology": {"segments": self.topology}}
        yield TABLE.encode("NodeGetInfoResponse", told)

    async def capabilities(self, _):
        told = {"capabilities": [{"rpc": {"type": one}} for one in self.can]}
        yield TABLE.encode("NodeGetCapabilitiesResponse", told)

    async def stats(self, _):
        yield TABLE.encode(
            "NodeGetVolumeStatsResponse", {"usage": [{"available": 1, "total": 3, "used": 2, "unit": 1}]}
        )

    def _answering(self, name, answer):
        async def method(message):
            asked = TABLE.decode(f"{name}Request", message)
            with (self.state / "asked").open("a") as file:
                file.write(json.dumps({"method": name, **asked}) + "\n")
            if name in self.fails:
                raise RpcError(grpc.INTERNAL, f"{name} went wrong")
            answer(asked)
            yield b""

        return method

    def data(self, asked):
        found = self.state / asked["volume_id"]
        found.mkdir(exist_ok=True)
        return found

    def stage(self, asked):
        self._show(self.data(asked), Path(asked["staging_target_path"]))

    def publish(self, asked):
        (self.data(asked) / "told.json").write_text(json.dumps(asked))
        if asked["volume_capability"]["block"] is not None:
            Path(asked["target_path"]).touch()  # a real one would bind its device here
            return
        self._show(self.data(asked), Path(asked["target_path"]))

    def expand(self, asked):
        (self.data(asked) / "size").write_text(str(asked["capacity_range"]["required_bytes"]))

    def take_away(self, asked):
        # The kernel lists mounts by their real paths.
        path = Path(asked.get("target_path") or asked["staging_target_path"]).resolve()
        if self.mounting:
            mounts.unmount_below(path)
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)

    def _show(self, source, target):
        target = target.resolve()
        target.mkdir(exist_ok=True)
        if self.mounting and not mounts.is_mount(target):
            mounts.bind(str(source), target)


if __name__ == "__main__":
    kubelet, driver_name, state_dir = sys.argv[1:]
    asyncio.run(CsiDriver(Path(kubelet), driver_name, state=Path(state_dir)).serve())
