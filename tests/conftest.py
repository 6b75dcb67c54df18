"""Fixtures that every room's tests share."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def host_lock() -> Iterator[None]:
    """One test at a time, machine-wide, changes real links, rules, mounts or cgroups."""
    with Path("/run/tiphys-tests.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
