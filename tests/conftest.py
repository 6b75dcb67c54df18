"""Fixtures that every room's tests share."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from machine_lock import lock

# The file whose tests hold the lock now, if any.
LOCKED_FILES = pytest.StashKey[list[Path]]()


@pytest.fixture(scope="session")
def host_lock() -> None:
    """
    Ask for it, and one test file at a time, machine-wide, changes real links, rules, mounts or cgroups.

    The hooks below do the work: such tests go to one worker, which holds the lock while it is in their file, fixtures
    of the whole file included, and the time that a test may take does not run while it waits for the lock.
    """


def _locks(item: pytest.Item | None) -> bool:
    return "host_lock" in getattr(item, "fixturenames", ())


def pytest_itemcollected(item: pytest.Item) -> None:
    if _locks(item):
        item.add_marker(pytest.mark.xdist_group("host"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    if not _locks(item):
        return (yield)
    file = item.config.stash.setdefault(LOCKED_FILES, [])
    if file != [item.path]:
        lock.take()
        file[:] = [item.path]
    try:
        return (yield)
    finally:
        if nextitem is None or not _locks(nextitem) or nextitem.path != item.path:
            file.clear()
            lock.give()


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test leaves anything behind that names the session's directory (process, mount, loop device), and no child."""
    yield
    assert _left_of(str(tmp_path_factory.getbasetemp())) == []


def _left_of(base: str) -> list[str]:
    mounts = [f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if base in line]
    disks = Path("/sys/block").glob("loop*/loop/backing_file")
    found = [f"loop device of {backing}" for backing in map(_text_of, disks) if base in backing]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_text().replace("\0", " ").strip()
            ours = f"\nPPid:\t{os.getpid()}\n" in (process / "status").read_text()
            if (base in command or ours) and "pytest" not in command.partition(base)[0]:
                found.append(f"process {process.name} {command or '(it has ended, and nobody has waited for it)'}")
    return mounts + found


def _text_of(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""  # another session's, gone meanwhile


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
