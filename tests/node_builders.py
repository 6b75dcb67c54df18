"""A node in a box: the agent on a fake runtime and network, against a tiny API in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiny_api import TinyApi
from tiphys.aio import virtual
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.client.client import Client
from tiphys.network.fake import FakeNetwork
from tiphys.node.agent import Doors, NodeAgent
from tiphys.node.machine import Machine
from tiphys.node.pod import spec
from tiphys.node.settings import NodeSettings
from tiphys.runtime.fake import FakeRuntime

PODS = resources.get("", "v1", "pods")
EVENTS = resources.get("", "v1", "events")
ROOM = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "10Gi"}
MACHINE = Machine(ROOM, ROOM, 8 << 30, "n1", "amd64", {"kubeletVersion": "v1.36.2"})


def settings(root: Path, **changes: Any) -> NodeSettings:
    given = {"node_name": "n1", "node_ip": "192.0.2.1", "data_dir": root / "data", "run_dir": root / "run"}
    given |= {"log_dir": root / "logs", "tmpfs_volumes": False, "resolv_conf": root / "none", "eviction_hard": ""}
    given |= changes
    return NodeSettings(**given)


def new_pod(name: str = "web", containers: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    """As a user writes it, bound to the node."""
    wanted = {"nodeName": "n1", "containers": containers or [container()], **fields}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": wanted}


def container(name: str = "c", image: str = "app:1", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": image, **fields}


async def at_once(uid: str) -> None:
    """No packet rule leads to a pod."""


@dataclass
class Box:
    """The node and the means to look at it."""

    api: TinyApi
    client: Client
    runtime: FakeRuntime
    network: FakeNetwork
    root: Path
    options: dict[str, Any] = field(default_factory=dict)
    withdrawn: Callable[[str], Awaitable[None]] = at_once
    agent: NodeAgent = None  # type: ignore[assignment]
    task: asyncio.Task[None] = None  # type: ignore[assignment]

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def start_agent(self, *, wait: bool = True) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual.VirtualLoop)
        doors = Doors(self.client, self.runtime, self.network, MACHINE, self.withdrawn)
        self.agent = NodeAgent(settings(self.root, **self.options), doors, loop.now)
        self.task = asyncio.create_task(self.agent.run())
        if wait:
            await self.agent.ready.wait()

    async def kill_agent(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def create(self, pod: dict[str, Any]) -> dict[str, Any]:
        return await self.client.create(PODS, pod)

    async def get(self, name: str = "web") -> dict[str, Any] | None:
        try:
            return await self.client.get(PODS, name, "shop")
        except StatusError:
            return None

    async def status(self, name: str = "web") -> dict[str, Any]:
        pod = await self.get(name)
        return pod.get("status", {"phase": ""}) if pod else {}

    async def until(self, condition: Callable[[dict[str, Any]], bool], name: str = "web") -> dict[str, Any]:
        """The pod's status once it fulfils the condition; {} is that of a pod that is gone."""
        for _ in range(4000):
            status = await self.status(name)
            if condition(status):
                return status
            await asyncio.sleep(0.05)
        raise AssertionError(f"it never came: {status}")

    async def ready(self, name: str = "web") -> dict[str, Any]:
        return await self.until(is_ready, name)

    async def delete(self, name: str = "web", grace_seconds: int | None = None) -> None:
        await self.client.delete(PODS, ("shop", name), grace_seconds=grace_seconds)

    def run_id(self, pod: dict[str, Any], attempt: int = 0, name: str = "c") -> str:
        return spec.run_id(pod["metadata"]["uid"], name, attempt)

    async def events(self) -> list[tuple[str, str]]:
        await self.agent.parts.recorder.drained()
        found = (await self.client.list(EVENTS, "shop")).items
        return [(event["reason"], event["message"]) for event in sorted(found, key=lambda e: e["metadata"]["name"])]


def is_ready(status: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))


def waits(reason: str) -> Callable[[dict[str, Any]], bool]:
    """Whether the first container waits for that reason."""

    def check(status: dict[str, Any]) -> bool:
        states = [c["state"] for c in status.get("containerStatuses", ())]
        return any(state.get("waiting", {}).get("reason") == reason for state in states)

    return check


def phase(wanted: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status.get("phase") == wanted


def gone(status: dict[str, Any]) -> bool:
    return status == {}


def on_a_node(root: Path, scenario: Callable[[Box], Awaitable[None]], **options: Any) -> None:
    """Run the scenario on virtual time; `app:1` is present."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual.VirtualLoop)
        api = TinyApi()
        box = Box(api, Client(api), FakeRuntime(loop.now), FakeNetwork(), root, options)
        box.runtime.add_image("app:1")
        await box.start_agent()
        try:
            await scenario(box)
        finally:
            await box.kill_agent()
        assert box.task.cancelled(), box.task.exception()

    virtual.run(main())
