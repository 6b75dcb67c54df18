"""Fixtures that every room's tests share."""

import ctypes
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def host_lock() -> Iterator[None]:
    """One test at a time, machine-wide, changes real links, rules, mounts or cgroups."""
    with Path("/run/tiphys-tests.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@pytest.fixture
def own_network() -> Iterator[None]:
    """A fresh network namespace for this thread and those it starts; the host's is not touched, so no lock."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_network = 0x40000000
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    assert libc.unshare(new_network) == 0, os.strerror(ctypes.get_errno())
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        assert libc.setns(home, new_network) == 0, os.strerror(ctypes.get_errno())
        os.close(home)
