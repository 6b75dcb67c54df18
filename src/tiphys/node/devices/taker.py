"""Device plugins that show themselves by a socket, instead of registering at ours."""

from __future__ import annotations

from tiphys.node.devices.devices import Devices, is_extended
from tiphys.node.devices.messages import VERSION
from tiphys.node.devices.plugin import options_of
from tiphys.node.plugins.registrar import Info, Refused
from tiphys.node.settings import NodeSettings
from tiphys.wire.protobuf import ProtobufError

KIND = "DevicePlugin"


class DeviceTaker:
    """See `plugins.registrar.Taker`."""

    def __init__(self, devices: Devices, settings: NodeSettings) -> None:
        self._devices = devices
        self._settings = settings

    async def add(self, info: Info) -> None:
        if VERSION not in info.versions:
            raise Refused(f"manager version {VERSION} is not among plugin supported versions {list(info.versions)}")
        if not is_extended(info.name):
            raise Refused(f"invalid name of device plugin socket: {info.name}")
        path = self._path(info)
        try:
            options = await options_of(path)
        except ProtobufError as error:
            raise Refused(f"its options cannot be read: {error}") from error
        self._devices.add(info.name, path, options)

    async def remove(self, info: Info) -> None:
        self._devices.remove(info.name, self._path(info))

    def _path(self, info: Info) -> str:
        return str(self._settings.real(info.endpoint))
