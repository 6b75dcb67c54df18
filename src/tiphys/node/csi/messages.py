"""What a storage driver is asked on a node: the service Node of the Container Storage Interface v1."""

from __future__ import annotations

from tiphys.wire.protobuf import Table

GET_INFO = "/csi.v1.Node/NodeGetInfo"
GET_CAPABILITIES = "/csi.v1.Node/NodeGetCapabilities"
STAGE, UNSTAGE = "/csi.v1.Node/NodeStageVolume", "/csi.v1.Node/NodeUnstageVolume"
PUBLISH, UNPUBLISH = "/csi.v1.Node/NodePublishVolume", "/csi.v1.Node/NodeUnpublishVolume"
GET_STATS, EXPAND = "/csi.v1.Node/NodeGetVolumeStats", "/csi.v1.Node/NodeExpandVolume"

TABLE = Table("""
NodeGetInfoResponse
  1 node_id string
  2 max_volumes_per_node int64
  3 accessible_topology Topology

Topology
  1 segments map

NodeGetCapabilitiesResponse
  1 capabilities *NodeServiceCapability

NodeServiceCapability
  1 rpc RPC

RPC
  1 type int32

VolumeCapability
  1 block BlockVolume
  2 mount MountVolume
  3 access_mode AccessMode

BlockVolume

MountVolume
  1 fs_type string
  2 mount_flags *string
  3 volume_mount_group string

AccessMode
  1 mode int32

NodeStageVolumeRequest
  1 volume_id string
  2 publish_context map
  3 staging_target_path string
  4 volume_capability VolumeCapability
  5 secrets map
  6 volume_context map

NodeUnstageVolumeRequest
  1 volume_id string
  2 staging_target_path string

NodePublishVolumeRequest
  1 volume_id string
  2 publish_context map
  3 staging_target_path string
  4 target_path string
  5 volume_capability VolumeCapability
  6 readonly bool
  7 secrets map
  8 volume_context map

NodeUnpublishVolumeRequest
  1 volume_id string
  2 target_path string

NodeGetVolumeStatsRequest
  1 volume_id string
  2 volume_path string
  3 staging_target_path string

NodeGetVolumeStatsResponse
  1 usage *VolumeUsage
  2 volume_condition VolumeCondition

VolumeUsage
  1 available int64
  2 total int64
  3 used int64
  4 unit int32

VolumeCondition
  1 abnormal bool
  2 message string

NodeExpandVolumeRequest
  1 volume_id string
  2 volume_path string
  3 capacity_range CapacityRange
  4 staging_target_path string
  5 volume_capability VolumeCapability
  6 secrets map

CapacityRange
  1 required_bytes int64
  2 limit_bytes int64

NodeExpandVolumeResponse
  1 capacity_bytes int64
""")
