"""
How text reaches nftables: in this process through libnftables, or through the `nft` command where that library is not.

A call costs a tenth of a millisecond in the process and some milliseconds as a command. Both are bound to the network
namespace in which the engine was made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import stat
import subprocess
import threading
from typing import Protocol

from tiphys.network.door import NotPermitted, RulesRefused
from tiphys.network.netlink import NETLINK_NETFILTER

LIBRARY = "libnftables.so.1"
# select() knows descriptors below 1024; a context opens two or three.
SELECT_MAX = 1000


class Engine(Protocol):
    """`senders`: the netlink ports that this engine's transactions come from, as watchers see them."""

    @property
    def senders(self) -> frozenset[int]: ...

    def run(self, text: str) -> str:
        """Perform commands as one transaction and give their output. RulesRefused: nothing of it was applied."""

    def close(self) -> None: ...


def engine() -> Engine:
    """The best one that works here."""
    try:
        return Library()
    except OSError:
        return Command()


class Library:
    """libnftables. A context is used by one thread at a time; calls leave the interpreter free for others."""

    def __init__(self) -> None:
        self._nft = _load()
        _refuse_high_descriptors()
        before = _netfilter_ports()
        self._context = ctypes.c_void_p(self._nft.nft_ctx_new(0))
        self._nft.nft_ctx_buffer_error(self._context)
        self._nft.nft_ctx_buffer_output(self._context)
        self._lock = threading.Lock()
        # The library's socket gets its port with the first request.
        self.run("list tables ip")
        self._senders = _netfilter_ports() - before

    @property
    def senders(self) -> frozenset[int]:
        return self._senders

    def run(self, text: str) -> str:
        with self._lock:
            if self._context.value is None:
                raise RulesRefused("the packet rules are closed")
            code = self._nft.nft_run_cmd_from_buffer(self._context, text.encode())
            error = self._nft.nft_ctx_get_error_buffer(self._context).decode()
            output: str = self._nft.nft_ctx_get_output_buffer(self._context).decode()
        if code != 0:
            raise refusal(error)
        return output

    def close(self) -> None:
        with self._lock:
            if self._context.value is not None:
                self._nft.nft_ctx_free(self._context)
                self._context = ctypes.c_void_p(None)


class Command:
    """`nft -f -`, a process for each transaction."""

    def __init__(self) -> None:
        path = shutil.which("nft")
        if path is None:
            raise NotPermitted("neither libnftables nor nft is installed; install the package nftables")
        self._path = path
        self._senders: set[int] = set()

    @property
    def senders(self) -> frozenset[int]:
        return frozenset(self._senders)

    def run(self, text: str) -> str:
        # A process's first netlink socket gets the process id as its port.
        with subprocess.Popen(
            [self._path, "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            self._senders = {process.pid}
            output, error = process.communicate(text)
        if process.returncode != 0:
            raise refusal(error)
        return output

    def close(self) -> None:
        return


def refusal(error: str) -> RulesRefused | NotPermitted:
    """The first complaint of nft, which repeats a long command in full below it."""
    first = next((line for line in error.splitlines() if line.strip()), "no reason given")[:300]
    if "Operation not permitted" in first:
        return NotPermitted(f"nftables: {first}; run as root")
    return RulesRefused(f"nftables: {first}")


def _load() -> ctypes.CDLL:
    nft = ctypes.CDLL(LIBRARY)
    nft.nft_ctx_new.restype = ctypes.c_void_p
    nft.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    nft.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    return nft


def _refuse_high_descriptors() -> None:
    """libnftables waits with select(), which aborts the process for descriptors that its bit field cannot hold."""
    probe = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.close(probe)
    if probe >= SELECT_MAX:
        raise OSError(errno.EMFILE, "too many open files for libnftables")


def _netfilter_ports() -> frozenset[int]:
    """The netlink ports of this process's netfilter sockets."""
    ports = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = os.dup(int(name))
        except OSError:  # closed since
            continue
        if not stat.S_ISSOCK(os.fstat(copy).st_mode):
            os.close(copy)
            continue
        with socket.socket(fileno=copy) as held:
            if held.family == socket.AF_NETLINK and held.proto == NETLINK_NETFILTER:
                ports.add(held.getsockname()[0])
    return frozenset(ports)
