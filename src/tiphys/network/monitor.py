"""
Hear when somebody else touches one of our tables.

The kernel tells a multicast group each change of nftables. A socket filter drops what our own transactions caused
before it wakes anybody: each message names the netlink port of who sent the request. So our own work costs nothing
here, however large, and an overflow can only come from others.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import socket
import struct
from collections.abc import Callable, Collection

from tiphys.network.netlink import NETLINK_NETFILTER, RECEIVE_BYTES, attributes, messages

NFNLGRP_NFTABLES = 7
NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_NEWGEN = 15
SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
SO_ATTACH_FILTER = 26

# Classic BPF.
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_SENDER_OFFSET = 12


class Monitor:
    """Calls `on_change` on the loop when others change the table, or may have (the kernel dropped messages)."""

    def __init__(self, table: str, on_change: Callable[[], None]) -> None:
        self._table = table.encode()
        self._on_change = on_change
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_NETFILTER
        )
        self._socket.bind((0, 0))

    def start(self, own: Collection[int]) -> None:
        """Listen; changes that come from the ports `own` are not reported."""
        if own:
            self._ignore(own)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def drain(self, own: Collection[int]) -> bool:
        """Read what has come so far: has anybody but the ports `own` changed the table?"""
        touched = False
        while True:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return touched
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                touched = True
                continue
            touched = touched or any(
                message.sender not in own and self._concerns(message.type, message.body) for message in messages(data)
            )

    def _readable(self) -> None:
        if self.drain(()):
            self._on_change()

    def _concerns(self, kind: int, body: bytes) -> bool:
        if kind >> 8 != NFNL_SUBSYS_NFTABLES or kind & 0xFF == NFT_MSG_NEWGEN:
            return False
        # In every message of nftables but the generation's, attribute 1 is the name of the table.
        return any(number == 1 and data.rstrip(b"\0") == self._table for number, data in attributes(body, 4))

    def _ignore(self, own: Collection[int]) -> None:
        """Drop messages whose header names one of `own`: what comes in one datagram has one sender."""
        ports = sorted(own)
        program = [(_LOAD_WORD, 0, 0, _SENDER_OFFSET)]
        for place, port in enumerate(ports):
            # The filter reads the word in network order; a match jumps to the last instruction.
            swapped = struct.unpack(">I", struct.pack("=I", port))[0]
            program.append((_JUMP_EQUAL, len(ports) - place, 0, swapped))
        program += [(_RETURN, 0, 0, 0xFFFFFFFF), (_RETURN, 0, 0, 0)]
        code = b"".join(struct.pack("=HBBI", *line) for line in program)
        buffer = bytearray(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), address))
