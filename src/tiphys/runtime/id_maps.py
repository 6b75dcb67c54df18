"""
User namespaces of sandboxes: users of their own, the same range of numbers for all containers of one.

Number n in a container is `base + n` on the host, where it is nobody. Files keep the numbers that they have: what the
containers see is a mount whose numbers are shifted (an id-mapped mount) of the image's layers and of everything that is
mounted from the host. So layers are shared with all other containers, and a volume may be used by pods of both sorts.

The network namespace is handed in, so it belongs to the host's users: the root of a sandbox has no power over it. What
programs want of it most, ports below 1024 and echo requests, is allowed to everybody in it instead.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tiphys.runtime import kernel
from tiphys.runtime.door import Mount, RuntimeFailure

COUNT = 1 << 16
# Above what /etc/subuid usually gives to the host's own users.
FIRST, END = 1 << 20, (1 << 32) - COUNT
KINDS = ("user", "ipc", "uts")
USER, LAYERS, POINTS, SYSFS = "user", "layers", "points", "sysfs"
FOR_EVERYBODY = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}


def free_base(taken: Iterable[int]) -> int:
    """The first range that no sandbox has."""
    used = set(taken)
    return next(base for base in range(FIRST, END, COUNT) if base not in used)


def sysctls(own: Mapping[str, str]) -> dict[str, str]:
    """Those of a network namespace in which nobody is root; what the caller says counts."""
    return {**FOR_EVERYBODY, **own}


def make(directory: Path, base: int) -> None:
    """Pin a user namespace, with an IPC and a UTS namespace that belong to it. RuntimeFailure if there can be none."""
    # A process with threads cannot make a user namespace; one that does nothing else can.
    command = ["unshare", "--user", "--ipc", "--uts", "sh", "-c", "echo ready; read _"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        if not process.stdout.readline():
            why = process.stderr.read().strip()
            raise RuntimeFailure(f"user namespaces (hostUsers: false) cannot be made on this host: {why}")
        try:
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{process.pid}/{name}").write_text(f"0 {base} {COUNT}")
            for kind in KINDS:
                path = directory / kind
                path.touch(mode=0o444)
                kernel.mount(f"/proc/{process.pid}/ns/{kind}", str(path), "none", kernel.MS_BIND)
        finally:
            process.stdin.close()


def show(source: Path, target: Path, user: Path, *, recursive: bool = True) -> None:
    """Mount what is at `source` at `target`, which is made, with its numbers shifted. RuntimeFailure."""
    if source.is_dir():
        target.mkdir(parents=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    try:
        with open(user, "rb") as namespace:
            kernel.mount_mapped(source, target, namespace.fileno(), recursive=recursive)
    except OSError as error:
        raise RuntimeFailure(
            f"{source} cannot be shown to a user namespace (hostUsers: false): its file system has no id-mapped "
            f"mounts ({error.strerror})"
        ) from error


def shown(mounts: Sequence[Mount], directory: Path, user: Path) -> list[Mount]:
    """The mounts of a container with all that comes from the host shown below `directory`."""
    found = []
    for number, mount in enumerate(mounts):
        if mount.type == "bind":
            target = directory / str(number)
            show(Path(mount.source), target, user)
            mount = replace(mount, source=str(target))
        found.append(mount)
    return found


def hide(directory: Path) -> None:
    """Take down what `shown` made. Never deletes what a mount shows: a directory that is not empty stops it."""
    for path in [*directory.iterdir()] if directory.is_dir() else []:
        kernel.unmount(path)
        if path.is_dir():
            os.rmdir(path)
        else:
            path.unlink()
    if directory.is_dir():
        os.rmdir(directory)
