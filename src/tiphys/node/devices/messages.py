"""What device plugins and the node say to each other: the device plugin API v1beta1."""

from __future__ import annotations

from tiphys.wire.protobuf import Table

VERSION = "v1beta1"
REGISTER = "/v1beta1.Registration/Register"
OPTIONS = "/v1beta1.DevicePlugin/GetDevicePluginOptions"
LIST_AND_WATCH = "/v1beta1.DevicePlugin/ListAndWatch"
PREFER = "/v1beta1.DevicePlugin/GetPreferredAllocation"
ALLOCATE = "/v1beta1.DevicePlugin/Allocate"
PRE_START = "/v1beta1.DevicePlugin/PreStartContainer"
HEALTHY = "Healthy"

TABLE = Table("""
Empty

DevicePluginOptions
  1 pre_start_required bool
  2 get_preferred_allocation_available bool

RegisterRequest
  1 version string
  2 endpoint string
  3 resource_name string
  4 options DevicePluginOptions

ListAndWatchResponse
  1 devices *Device

Device
  1 ID string
  2 health string

PreferredAllocationRequest
  1 container_requests *ContainerPreferredAllocationRequest

ContainerPreferredAllocationRequest
  1 available_deviceIDs *string
  2 must_include_deviceIDs *string
  3 allocation_size int32

PreferredAllocationResponse
  1 container_responses *ContainerPreferredAllocationResponse

ContainerPreferredAllocationResponse
  1 deviceIDs *string

AllocateRequest
  1 container_requests *ContainerAllocateRequest

ContainerAllocateRequest
  1 devicesIDs *string

AllocateResponse
  1 container_responses *ContainerAllocateResponse

ContainerAllocateResponse
  1 envs map
  2 mounts *Mount
  3 devices *DeviceSpec
  4 annotations map

Mount
  1 container_path string
  2 host_path string
  3 read_only bool

DeviceSpec
  1 container_path string
  2 host_path string
  3 permissions string

PreStartContainerRequest
  1 devicesIDs *string
""")
