"""One storage driver on this node: what it is, what it can, and each thing that it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.node.csi import messages
from tiphys.wire import grpc
from tiphys.wire.grpc import RpcError, Target
from tiphys.wire.protobuf import ProtobufError

Object = dict[str, Any]

# As the kubelet: a driver may take its time to mount, and is asked again afterwards.
CALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Driver:
    """`volumes_max` 0 is no limit; `topology` are labels of the node that volumes may depend on."""

    name: str
    endpoint: str
    node_id: str
    volumes_max: int = 0
    topology: Mapping[str, str] = field(default_factory=dict)
    capabilities: frozenset[int] = frozenset()

    def can(self, capability: int) -> bool:
        return capability in self.capabilities

    async def stage(self, request: Mapping[str, Any]) -> None:
        """RpcError, as all the others."""
        await _call(self.endpoint, messages.STAGE, "NodeStageVolumeRequest", request)

    async def unstage(self, volume_id: str, staging_path: str) -> None:
        request = {"volume_id": volume_id, "staging_target_path": staging_path}
        await _call(self.endpoint, messages.UNSTAGE, "NodeUnstageVolumeRequest", request)

    async def publish(self, request: Mapping[str, Any]) -> None:
        await _call(self.endpoint, messages.PUBLISH, "NodePublishVolumeRequest", request)

    async def unpublish(self, volume_id: str, target_path: str) -> None:
        request = {"volume_id": volume_id, "target_path": target_path}
        await _call(self.endpoint, messages.UNPUBLISH, "NodeUnpublishVolumeRequest", request)

    async def expand(self, request: Mapping[str, Any]) -> None:
        await _call(self.endpoint, messages.EXPAND, "NodeExpandVolumeRequest", request)

    async def stats(self, volume_id: str, path: str) -> Object:
        request = {"volume_id": volume_id, "volume_path": path}
        answer = await _call(self.endpoint, messages.GET_STATS, "NodeGetVolumeStatsRequest", request)
        return _decoded("NodeGetVolumeStatsResponse", answer)


async def described(name: str, endpoint: str) -> Driver:
    """Ask a driver who it is. RpcError."""
    info = _decoded("NodeGetInfoResponse", await grpc.call(Target(endpoint), messages.GET_INFO, b"", CALL_SECONDS))
    raw = await grpc.call(Target(endpoint), messages.GET_CAPABILITIES, b"", CALL_SECONDS)
    told = _decoded("NodeGetCapabilitiesResponse", raw)["capabilities"]
    return Driver(
        name,
        endpoint,
        info["node_id"],
        max(info["max_volumes_per_node"], 0),
        (info["accessible_topology"] or {}).get("segments") or {},
        frozenset(one["rpc"]["type"] for one in told if one["rpc"]),
    )


async def _call(endpoint: str, method: str, message: str, request: Mapping[str, Any]) -> bytes:
    return await grpc.call(Target(endpoint), method, messages.TABLE.encode(message, request), CALL_SECONDS)


def _decoded(message: str, data: bytes) -> Object:
    try:
        return messages.TABLE.decode(message, data)
    except ProtobufError as error:
        raise RpcError(grpc.INTERNAL, f"grpc: failed to unmarshal the received message: {error}") from error
