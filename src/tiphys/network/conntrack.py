"""Tracked connections: forget those that lead astray. For UDP only, which knows no end of a connection."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tiphys.network.netlink import F_ACK, NETLINK_NETFILTER, Message, Netlink, attribute, attributes, nested

SUBSYSTEM = 1 << 8
CT_GET, CT_DELETE = SUBSYSTEM | 1, SUBSYSTEM | 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER = 1, 2, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST = 1, 2
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
FILTER_IP_DST, FILTER_PROTO_NUM, FILTER_DST_PORT = 1 << 1, 1 << 3, 1 << 5

# More destinations than this are cheaper to find in one pass over everything.
FILTERED_DUMPS_MAX = 16


@dataclass(frozen=True, slots=True)
class Flow:
    """
    UDP packets to `address` (of any, if "") and `port`; with a target only those that were translated to it.
    """

    address: str
    port: int
    target: str = ""
    target_port: int = 0


@dataclass(frozen=True, slots=True)
class _Tuple:
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int


def forget(flows: Collection[Flow]) -> int:
    """Delete the tracked connections of `flows`; returns how many there were. Blocks: call it in a thread."""
    if not flows:
        return 0
    wanted: dict[tuple[str, int], list[Flow]] = {}
    for flow in flows:
        wanted.setdefault((flow.address, flow.port), []).append(flow)
    with Netlink(NETLINK_NETFILTER) as reading, Netlink(NETLINK_NETFILTER) as writing:
        doomed = [raw for raw, original, reply in _candidates(reading, wanted) if _is_wanted(original, reply, wanted)]
        for raw in doomed:
            _delete(writing, raw)
    return len(doomed)


def _is_wanted(original: _Tuple, reply: _Tuple, wanted: dict[tuple[str, int], list[Flow]]) -> bool:
    port = original.destination_port
    flows = wanted.get((original.destination, port), []) + wanted.get(("", port), [])
    return original.protocol == socket.IPPROTO_UDP and any(
        not flow.target or (flow.target, flow.target_port) == (reply.source, reply.source_port) for flow in flows
    )


def _candidates(netlink: Netlink, wanted: Collection[tuple[str, int]]) -> Iterator[tuple[bytes, _Tuple, _Tuple]]:
    """(raw original tuple, original, reply) of at least the wanted connections."""
    if len(wanted) <= FILTERED_DUMPS_MAX:
        try:
            for address, port in wanted:
                yield from _parsed(netlink.dump(CT_GET, _header() + _filter(address, port)))
            return
        except OSError as error:
            # Kernels before 5.8 cannot filter.
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    yield from _parsed(netlink.dump(CT_GET, _header()))


def _parsed(dump: Iterator[Message]) -> Iterator[tuple[bytes, _Tuple, _Tuple]]:
    for message in dump:
        found = dict(attributes(message.body, 4))
        if CTA_TUPLE_ORIG in found and CTA_TUPLE_REPLY in found:
            yield found[CTA_TUPLE_ORIG], _tuple(found[CTA_TUPLE_ORIG]), _tuple(found[CTA_TUPLE_REPLY])


def _header() -> bytes:
    return struct.pack("=BBH", socket.AF_INET, 0, 0)


def _filter(address: str, port: int) -> bytes:
    """Ask the kernel for UDP to that port (and address)."""
    flags = FILTER_PROTO_NUM | FILTER_DST_PORT
    addresses = b""
    if address:
        flags |= FILTER_IP_DST
        addresses = attribute(CTA_IP_V4_DST, socket.inet_aton(address))
    protocol = attribute(CTA_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
    protocol += attribute(CTA_PROTO_DST_PORT, struct.pack(">H", port))
    original = nested(CTA_TUPLE_ORIG, nested(CTA_TUPLE_IP, addresses), nested(CTA_TUPLE_PROTO, protocol))
    return original + nested(CTA_FILTER, attribute(CTA_FILTER_ORIG_FLAGS, flags), attribute(CTA_FILTER_REPLY_FLAGS, 0))


def _tuple(data: bytes) -> _Tuple:
    parts = dict(attributes(data))
    address = dict(attributes(parts.get(CTA_TUPLE_IP, b"")))
    protocol = dict(attributes(parts.get(CTA_TUPLE_PROTO, b"")))
    return _Tuple(
        _address(address.get(CTA_IP_V4_SRC)),
        _address(address.get(CTA_IP_V4_DST)),
        protocol.get(CTA_PROTO_NUM, b"\0")[0],
        int.from_bytes(protocol.get(CTA_PROTO_SRC_PORT, b""), "big"),
        int.from_bytes(protocol.get(CTA_PROTO_DST_PORT, b""), "big"),
    )


def _address(data: bytes | None) -> str:
    return socket.inet_ntoa(data) if data is not None else ""


def _delete(netlink: Netlink, original: bytes) -> None:
    try:
        netlink.request(CT_DELETE, _header() + nested(CTA_TUPLE_ORIG, original), F_ACK)
    except OSError as error:
        if error.errno != errno.ENOENT:  # it ended by itself meanwhile
            raise
