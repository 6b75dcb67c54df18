"""One program that registers: asked who it is, handed to whoever works with its kind, told how that went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tiphys.node.plugins import messages
from tiphys.wire import grpc
from tiphys.wire.grpc import RpcError, Target
from tiphys.wire.protobuf import ProtobufError

ASK_SECONDS = 10.0


class Refused(Exception):
    """A program that is not taken; it is told the text."""


@dataclass(frozen=True, slots=True)
class Info:
    """`endpoint` is the socket at which it serves what it is for."""

    kind: str
    name: str
    endpoint: str
    versions: Sequence[str] = ()


class Taker(Protocol):
    """Works with one kind of programs."""

    async def add(self, info: Info) -> None:
        """A program is there, perhaps one that was there before. Refused."""

    async def remove(self, info: Info) -> None:
        """Its socket is gone. Idempotent."""


async def hand_over(socket: str, info: Info, takers: Mapping[str, Taker]) -> None:
    """Give a program to whoever takes it, and tell it how that went. RpcError, Refused when it was not taken."""
    try:
        taker = takers.get(info.kind)
        if taker is None:
            raise Refused(f"no handler registered for plugin type: {info.kind} at socket {socket}")
        await taker.add(info)
    except (Refused, RpcError) as error:
        await _tell(socket, str(error))
        raise
    await _tell(socket, "")


async def ask(socket: str) -> Info:
    """Who it is. RpcError, Refused."""
    raw = await grpc.call(Target(socket), messages.GET_INFO, b"", ASK_SECONDS)
    try:
        told = messages.TABLE.decode("PluginInfo", raw)
    except ProtobufError as error:
        raise Refused(f"its information cannot be read: {error}") from error
    return Info(told["type"], told["name"], told["endpoint"] or socket, tuple(told["supported_versions"]))


async def _tell(socket: str, error: str) -> None:
    status = {"plugin_registered": not error, "error": error}
    await grpc.call(Target(socket), messages.NOTIFY, messages.TABLE.encode("RegistrationStatus", status), ASK_SECONDS)
