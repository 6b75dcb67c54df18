"""
Links, addresses and routes: the rtnetlink messages for a bridge, veth pairs and their addresses.

Functions take the `Netlink` of the namespace they act in. "Ensure" functions may be run again.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from pathlib import Path

from tiphys.network.netlink import F_CREATE, F_EXCL, F_REPLACE, Netlink, attribute, nested

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_NEWROUTE, RTM_GETROUTE = 20, 24, 26

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
IFLA_PROTINFO = 12
IFLA_BRPORT_MODE = 4
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC = 1, 4, 5, 7
IFF_UP = 1
AF_BRIDGE = 7
RT_TABLE_MAIN = 254
RTPROT_STATIC = 4
SCOPE_UNIVERSE, SCOPE_LINK = 0, 253
RTN_UNICAST = 1
SIOCGIFMTU = 0x8921
# What the link of a pod is called inside.
PEER = "eth0"


def _link(index: int = 0, flags: int = 0, family: int = 0) -> bytes:
    return struct.pack("=BxHiII", family, 0, index, flags, flags)


def _exists(error: OSError) -> bool:
    return error.errno == errno.EEXIST


def index_of(netlink: Netlink, name: str) -> int:
    """The interface's index in the namespace of `netlink`; 0 if there is none."""
    try:
        answer = netlink.ask(RTM_GETLINK, _link() + attribute(IFLA_IFNAME, name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return 0
        raise
    return int(struct.unpack_from("=i", answer.body, 4)[0])


def hardware_address(address: str) -> bytes:
    """
    The 6 bytes that a link with that IPv4 address carries: locally administered, so that no vendor has it.

    Chosen by us, and from the address. A bridge without a chosen one takes the lowest of its ports', another one with
    many a port that comes or goes, and pods would speak for up to a minute to one that is gone. And when an address is
    given to the next pod, what others remember of the last one is still right.
    """
    return b"\x02\x74" + socket.inet_aton(address)


def ensure_bridge(netlink: Netlink, name: str, mtu: int, gateway: str) -> int:
    """A bridge with that name, up; returns its index. OSError EEXIST if the name is another kind of link."""
    body = _link(flags=IFF_UP) + attribute(IFLA_IFNAME, name) + attribute(IFLA_MTU, mtu)
    info = nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, "bridge"))
    try:
        netlink.request(RTM_NEWLINK, body + info, F_CREATE | F_EXCL)
    except OSError as error:
        if not _exists(error):
            raise
    index = index_of(netlink, name)
    netlink.request(RTM_NEWLINK, _link(index, IFF_UP) + attribute(IFLA_ADDRESS, hardware_address(gateway)))
    return index


def set_up(netlink: Netlink, index: int) -> None:
    netlink.request(RTM_NEWLINK, _link(index, IFF_UP))


def add_veth(netlink: Netlink, name: str, *, bridge: int, peer_namespace: int, peer_address: str, mtu: int) -> None:
    """A veth pair: `name` here, on the bridge and up; PEER in the namespace of the descriptor, for that address."""
    other = _link() + attribute(IFLA_IFNAME, PEER) + attribute(IFLA_NET_NS_FD, peer_namespace)
    other += attribute(IFLA_ADDRESS, hardware_address(peer_address))
    data = nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, other + attribute(IFLA_MTU, mtu)))
    info = nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, "veth"), data)
    body = _link(flags=IFF_UP) + attribute(IFLA_IFNAME, name) + attribute(IFLA_MTU, mtu)
    netlink.request(RTM_NEWLINK, body + attribute(IFLA_MASTER, bridge) + info, F_CREATE | F_EXCL)


def allow_hairpin(netlink: Netlink, index: int) -> None:
    """Let a bridge port send back where a frame came from: needed where bridged frames pass the IP hooks."""
    mode = nested(IFLA_PROTINFO, attribute(IFLA_BRPORT_MODE, b"\1"))
    netlink.request(RTM_SETLINK, _link(index, family=AF_BRIDGE) + mode)


def delete_link(netlink: Netlink, name: str) -> None:
    """Blocks for some milliseconds. A link that is not there is no error."""
    try:
        netlink.request(RTM_DELLINK, _link() + attribute(IFLA_IFNAME, name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def ensure_address(netlink: Netlink, index: int, address: str, prefix_length: int) -> None:
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBi", socket.AF_INET, prefix_length, 0, SCOPE_UNIVERSE, index)
    body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    netlink.request(RTM_NEWADDR, body, F_CREATE | F_REPLACE)


def ensure_route(netlink: Netlink, destination: str, index: int, *, gateway: str = "", source: str = "") -> None:
    """A route by interface `index`; `destination` is a CIDR. Without a gateway it is on the link itself."""
    base, _, length = destination.partition("/")
    scope = SCOPE_UNIVERSE if gateway else SCOPE_LINK
    body = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, int(length), 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0
    )
    if int(length):
        body += attribute(RTA_DST, socket.inet_aton(base))
    body += attribute(RTA_OIF, index)
    if gateway:
        body += attribute(RTA_GATEWAY, socket.inet_aton(gateway))
    if source:
        body += attribute(RTA_PREFSRC, socket.inet_aton(source))
    netlink.request(RTM_NEWROUTE, body, F_CREATE | F_REPLACE)


def default_mtu() -> int:
    """The MTU of the device of the IPv4 default route; 1500 where there is none."""
    for line in Path("/proc/thread-self/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000" and fields[7] == "00000000":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                answer = fcntl.ioctl(probe, SIOCGIFMTU, struct.pack("16sI12x", fields[0].encode(), 0))
            return int(struct.unpack_from("=I", answer, 16)[0])
    return 1500


def has_default_route(netlink: Netlink) -> bool:
    """Whether the namespace of `netlink` has an IPv4 route to everywhere."""
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    return any(message.body[1] == 0 for message in netlink.dump(RTM_GETROUTE, body))
