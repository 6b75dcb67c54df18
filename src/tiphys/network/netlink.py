"""
Netlink: requests to the kernel over a raw socket, just what this room needs.

Own codec instead of pyroute2: importing any part of that costs 13 MB and 80 ms in each process and a message 0.8 ms
(docs/decisions/0010-own-netlink.md); the eight messages that are sent here fit on a page.

A request is synchronous: the kernel answers inside `send`. Only removing links takes long (it waits for all cores), so
callers do that in a thread. A socket belongs to the namespace of the thread that opened it, wherever it is used.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLMSG_ERROR = 2
NLMSG_DONE = 3
F_REQUEST = 0x1
F_ACK = 0x4
F_DUMP = 0x300
F_EXCL = 0x200
F_CREATE = 0x400
F_REPLACE = 0x100
NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
RECEIVE_BYTES = 262144


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `sender` is the port of the socket whose request caused it."""

    type: int
    flags: int
    sequence: int
    sender: int
    body: bytes


def attribute(kind: int, data: bytes | str | int) -> bytes:
    """One attribute, padded. Text is zero-terminated; an int is 32 bits in the machine's order."""
    if isinstance(data, str):
        data = data.encode() + b"\0"
    elif isinstance(data, int):
        data = struct.pack("=I", data)
    length = 4 + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + b"\0" * (-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes from `offset` on; ends at the first that does not fit."""
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            return
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, sender = _HEADER.unpack_from(data, offset)
        if length < 16 or offset + length > len(data):
            return
        yield Message(kind, flags, sequence, sender, data[offset + 16 : offset + length])
        offset += (length + 3) & ~3


class Netlink:
    """A socket for requests, in the network namespace of the thread that makes it."""

    def __init__(self, family: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Send one request and wait for the kernel's yes; OSError with its errno for a no."""
        for _ in self._exchange(kind, body, F_REQUEST | F_ACK | flags):
            pass

    def ask(self, kind: int, body: bytes) -> Message:
        """Send one request that is answered by one message."""
        for message in self._exchange(kind, body, F_REQUEST | F_ACK):
            return_value = message
        return return_value

    def dump(self, kind: int, body: bytes) -> Iterator[Message]:
        """Every message of a dump."""
        return self._exchange(kind, body, F_REQUEST | F_DUMP)

    def _exchange(self, kind: int, body: bytes, flags: int) -> Iterator[Message]:
        self._sequence += 1
        self._socket.send(_HEADER.pack(16 + len(body), kind, flags, self._sequence, 0) + body)
        while True:
            for message in messages(self._socket.recv(RECEIVE_BYTES)):
                if message.sequence != self._sequence:
                    continue
                if message.type in (NLMSG_ERROR, NLMSG_DONE):
                    code = struct.unpack_from("=i", message.body)[0] if len(message.body) >= 4 else 0
                    if code < 0:
                        raise OSError(-code, os.strerror(-code))
                    return
                yield message
