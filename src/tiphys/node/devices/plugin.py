"""One device plugin: the stream of its devices, and what it is asked before a container starts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from tiphys.node.devices import messages
from tiphys.node.devices.choose import Choice, NoDevices
from tiphys.wire import grpc
from tiphys.wire.grpc import RpcError, Target
from tiphys.wire.protobuf import ProtobufError

Object = dict[str, Any]

ASK_SECONDS = 10.0
ALLOCATE_SECONDS = 60.0
PRE_START_SECONDS = 30.0

log = logging.getLogger(__name__)


class Plugin:
    """`healthy` and `devices` are what it told last; both empty before it has told anything."""

    def __init__(self, resource: str, path: str, options: Mapping[str, Any] | None) -> None:
        self.resource = resource
        self.path = path
        self.devices: frozenset[str] = frozenset()
        self.healthy: frozenset[str] = frozenset()
        self._target = Target(path)
        self._options = options or {}

    async def follow(self, changed: Callable[[], None]) -> None:
        """Keep the devices until the plugin ends the stream, or goes away: then none is healthy."""
        try:
            async with aclosing(grpc.answers(self._target, messages.LIST_AND_WATCH, b"")) as answers:
                async for answer in answers:
                    self._take(messages.TABLE.decode("ListAndWatchResponse", answer)["devices"])
                    changed()
        except (RpcError, ProtobufError) as error:
            log.info("the device plugin of %s has ended: %s", self.resource, error)
        finally:
            self.healthy = frozenset()
            changed()

    def _take(self, devices: Sequence[Mapping[str, str]]) -> None:
        self.devices = frozenset(device["ID"] for device in devices)
        self.healthy = frozenset(device["ID"] for device in devices if device["health"] == messages.HEALTHY)

    async def prefer(self, choice: Choice) -> list[str]:
        """Which of the free devices it would give; [] when it has no opinion. NoDevices."""
        if not self._options.get("get_preferred_allocation_available") or len(choice.free) == choice.count:
            return []
        one = {"available_deviceIDs": sorted(choice.free), "must_include_deviceIDs": sorted(choice.kept)}
        asked = {"container_requests": [{**one, "allocation_size": choice.count}]}
        message = messages.TABLE.encode("PreferredAllocationRequest", asked)
        try:
            answer = await self._call(messages.PREFER, message, "PreferredAllocationResponse", ASK_SECONDS)
        except RpcError as error:
            text = f"device plugin GetPreferredAllocation rpc failed with err: {error}"
            raise NoDevices(text) from error
        return [device for one in answer["container_responses"][:1] for device in one["deviceIDs"]]

    async def allocate(self, ids: Sequence[str]) -> Object:
        """What the container needs to use them. RpcError."""
        message = messages.TABLE.encode("AllocateRequest", {"container_requests": [{"devicesIDs": ids}]})
        answer = await self._call(messages.ALLOCATE, message, "AllocateResponse", ALLOCATE_SECONDS)
        responses: list[Object] = answer["container_responses"]
        if not responses:
            raise RpcError(grpc.INTERNAL, "no containers return in allocation response")
        return responses[0]

    async def before_start(self, ids: Sequence[str]) -> None:
        """RpcError."""
        if self._options.get("pre_start_required"):
            message = messages.TABLE.encode("PreStartContainerRequest", {"devicesIDs": ids})
            await self._call(messages.PRE_START, message, "Empty", PRE_START_SECONDS)

    async def _call(self, method: str, message: bytes, answer: str, seconds: float) -> Object:
        raw = await grpc.call(self._target, method, message, seconds)
        try:
            return messages.TABLE.decode(answer, raw)
        except ProtobufError as error:
            raise RpcError(grpc.INTERNAL, f"grpc: failed to unmarshal the received message: {error}") from error


async def options_of(path: str) -> Object:
    """What a plugin that was found by its socket wants. RpcError, ProtobufError."""
    return messages.TABLE.decode(
        "DevicePluginOptions", await grpc.call(Target(path), messages.OPTIONS, b"", ASK_SECONDS)
    )
