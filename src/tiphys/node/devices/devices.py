"""
Devices of plugins on this node: who offers them, who holds them, what the node tells of them.

A plugin registers at a socket of ours and is asked for its devices over one of its own. Nothing that speaks with
plugins is imported before the first one calls: most nodes have none. A pod's devices are reserved, then allocated,
before it is admitted; what was given is on disk (`ledger.py`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from tiphys.node.devices import choose
from tiphys.node.devices.choose import NoDevices, Stock
from tiphys.node.devices.grant import Answer
from tiphys.node.devices.ledger import Ledger
from tiphys.node.settings import NodeSettings
from tiphys.wire import unix_sockets

if TYPE_CHECKING:
    from tiphys.node.devices.plugin import Plugin

Pod = Mapping[str, Any]
Container = Mapping[str, Any]

SOCKET = "kubelet.sock"
LEDGER = "allocations.json"
# How long a plugin that went away may take to come back before its resource is gone from the node.
ABSENCE_SECONDS_MAX = 300.0
PLUGINS_MAX = 100
_RESOURCE = re.compile(r"[A-Za-z0-9.-]{1,253}/[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")

log = logging.getLogger(__name__)


class DevicesFailed(Exception):
    """A container cannot have its devices, in the words of the plugin or the kubelet."""


class Devices:
    """`run()` until cancelled. `on_change` is called when the node has more or fewer devices to tell of."""

    def __init__(self, settings: NodeSettings) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._directory = settings.device_plugins_dir
        self._ledger = Ledger(self._directory / LEDGER)
        self._plugins: dict[str, Plugin] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def open(self) -> None:
        """
        Read who holds what, before any pod is looked at. Sockets of plugins go: that tells them to register anew.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        for entry in self._directory.iterdir():
            if stat.S_ISSOCK(entry.lstat().st_mode):
                entry.unlink()
        self._ledger.load()

    async def run(self) -> None:
        """Take registrations."""
        with unix_sockets.listen(self._directory / SOCKET) as listener:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await unix_sockets.called(listener)
                from tiphys.node.devices import messages
                from tiphys.wire import grpc

                await grpc.serve(listener, {messages.REGISTER: self._register})

    # plugins

    async def _register(self, request: bytes) -> AsyncIterator[bytes]:
        from tiphys.node.devices import messages
        from tiphys.wire.grpc import UNKNOWN, RpcError

        asked = messages.TABLE.decode("RegisterRequest", request)
        if asked["version"] != messages.VERSION:
            text = f'requested API version "{asked["version"]}" is not supported by kubelet. '
            raise RpcError(UNKNOWN, f'{text}Supported version is "{messages.VERSION}"')
        if not is_extended(asked["resource_name"]):
            raise RpcError(UNKNOWN, f'the ResourceName "{asked["resource_name"]}" is invalid')
        if "/" in asked["endpoint"] or asked["endpoint"] in ("", "..", SOCKET):
            raise RpcError(UNKNOWN, f'the endpoint "{asked["endpoint"]}" is no name of a socket in {self._directory}')
        self.add(asked["resource_name"], str(self._directory / asked["endpoint"]), asked["options"])
        yield b""

    def add(self, resource: str, path: str, options: Mapping[str, Any] | None) -> None:
        """A plugin has said that it is there; one that said so before for the same resource is followed no more."""
        from tiphys.node.devices.plugin import Plugin

        assert self._group is not None
        if len(self._plugins) >= PLUGINS_MAX and resource not in self._plugins:
            log.warning("there are %d device plugins already: %s is not taken", PLUGINS_MAX, resource)
            return
        before = self._following.pop(resource, None)
        if before is not None:
            before.cancel()
        plugin = self._plugins[resource] = Plugin(resource, path, options)
        self._ledger.add_resource(resource)
        self._following[resource] = self._group.create_task(self._follow(plugin), name=f"devices {resource}")
        log.info("device plugin of %s at %s", resource, path)

    def remove(self, resource: str, path: str) -> None:
        """The plugin that was found at that path is gone."""
        plugin = self._plugins.get(resource)
        if plugin is not None and plugin.path == path:
            self._following.pop(resource).cancel()
            del self._plugins[resource]
            self.on_change()

    async def _follow(self, plugin: Plugin) -> None:
        await plugin.follow(self.on_change)
        await asyncio.sleep(ABSENCE_SECONDS_MAX)
        del self._plugins[plugin.resource], self._following[plugin.resource]
        self.on_change()

    def resources(self) -> Mapping[str, tuple[int, int]]:
        """(capacity, allocatable) of each resource, with zeros for those that are gone."""
        known = {name: (len(one.devices), len(one.healthy)) for name, one in self._plugins.items()}
        return {name: known.get(name, (0, 0)) for name in sorted({*self._ledger.resources, *known})}

    # pods

    def shortage(self, pod: Pod) -> str:
        """Why there are not enough devices for a new pod; "" when there are."""
        names = self._ledger.resources
        if not names:
            return ""
        return choose.shortage(pod, {name: self._stock(name) for name in names})

    async def allocate(self, pod: Pod) -> None:
        """Give a pod its devices, container by container. DevicesFailed leaves it none."""
        lent: dict[str, set[str]] = {}
        try:
            for container, is_lent in choose.turns(pod):
                for resource, count in self._wanted(container).items():
                    kept = lent.setdefault(resource, set())
                    found = await self._give(pod, container["name"], resource, (kept, count))
                    if is_lent:
                        kept.update(found)
                    else:
                        kept.difference_update(found)
        except DevicesFailed:
            self.release(pod["metadata"]["uid"])
            raise

    async def for_container(self, pod: Pod, container: Container) -> list[Answer]:
        """What the plugins gave; they are told that it is about to start. DevicesFailed."""
        uid, name = pod["metadata"]["uid"], container["name"]
        answers: list[Answer] = []
        for resource, count in self._wanted(container).items():
            entry = self._ledger.of(uid, name).get(resource)
            if entry is None or entry["answer"] is None:
                # Taken in before a crash that came between admission and here.
                await self._give(pod, name, resource, (set(entry["ids"]) if entry else set(), count))
                entry = self._ledger.of(uid, name)[resource]
            answers.append(entry["answer"])
            await self._before_start(resource, entry["ids"])
        return answers

    def release(self, uid: str) -> None:
        """Idempotent."""
        self._ledger.release(uid)

    def release_all_but(self, uids: set[str]) -> None:
        """Of pods that left while no agent ran."""
        for uid in set(self._ledger.uids) - uids:
            self._ledger.release(uid)

    def _wanted(self, container: Container) -> Mapping[str, int]:
        known = self._ledger.resources
        return {name: count for name, count in choose.wanted_by(container).items() if name in known} if known else {}

    def _stock(self, resource: str) -> Stock:
        plugin, held = self._plugins.get(resource), self._ledger.held(resource)
        if plugin is None:
            return Stock(resource, held=held, is_registered=False)
        return Stock(resource, plugin.healthy, held)

    async def _give(self, pod: Pod, container: str, resource: str, wish: tuple[set[str], int]) -> list[str]:
        from tiphys.wire.grpc import RpcError

        uid = pod["metadata"]["uid"]
        try:
            choice = choose.choice(self._stock(resource), *wish)
            plugin = self._plugins[resource]
            # Nobody else may get them while the plugin thinks.
            self._ledger.reserve(uid, container, resource, choose.picked(choice))
            preferred = await plugin.prefer(choice)
            if preferred:
                free = choice.free - self._ledger.held(resource) | set(self._ledger.of(uid, container)[resource]["ids"])
                choice = choose.Choice(free, choice.kept, choice.count)
                self._ledger.reserve(uid, container, resource, choose.picked(choice, preferred))
            ids: list[str] = self._ledger.of(uid, container)[resource]["ids"]
            answer = await plugin.allocate(ids)
        except (NoDevices, RpcError) as error:
            raise DevicesFailed(str(error)) from error
        self._ledger.settle(uid, container, resource, answer)
        return ids

    async def _before_start(self, resource: str, ids: list[str]) -> None:
        from tiphys.wire.grpc import RpcError

        plugin = self._plugins.get(resource)
        if plugin is None:
            raise DevicesFailed(f"endpoint not found in cache for a registered resource: {resource}")
        try:
            await plugin.before_start(ids)
        except RpcError as error:
            text = f"device plugin PreStartContainer rpc failed with err: {error}"
            raise DevicesFailed(text) from error


def is_extended(resource: str) -> bool:
    """A resource of somebody else's domain."""
    domain = resource.partition("/")[0]
    of_kubernetes = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    return bool(_RESOURCE.fullmatch(resource)) and not of_kubernetes and not resource.startswith("requests.")
