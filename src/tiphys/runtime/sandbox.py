"""
Sandboxes: namespaces pinned at files, a /dev/shm and a cgroup; no process is needed to hold them.

Only a shared PID namespace ends with its first process, so there one is started that does nothing but reap.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tiphys.runtime import cgroups, id_maps, kernel, records
from tiphys.runtime.bundle import Place
from tiphys.runtime.door import Resources, RuntimeFailure, SandboxSpec
from tiphys.runtime.settings import RuntimeSettings

SPEC = "sandbox.json"
# The group, below the sandbox's, of what holds a shared PID namespace.
HOLDER = "holder"
# Waits for children that it does not know, as the first process of a PID namespace must.
REAPER = "trap 'exit 0' TERM; while :; do sleep 2147483647 & wait $!; done"


class Sandboxes:
    """All functions block for a moment: call them in a worker thread. Making namespaces has a thread of its own."""

    def __init__(self, settings: RuntimeSettings, groups: cgroups.Cgroups) -> None:
        self._settings = settings
        self._cgroups = groups
        self.threads = ThreadPoolExecutor(2, "sandbox")
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        # Ranges of users that are given while their sandboxes are made, and one at a time.
        self._ranges: set[int] = set()
        self._giving = threading.Lock()
        self._groups: dict[str, str] = {}

    def find(self, sandbox_id: str) -> SandboxSpec | None:
        raw = records.read(self._directory(sandbox_id) / SPEC)
        return records.sandbox_spec(raw["spec"]) if raw else None

    def all(self) -> list[SandboxSpec]:
        directory = self._settings.sandboxes_dir
        ids = [path.name for path in directory.iterdir()] if directory.is_dir() else []
        return [spec for sandbox_id in ids if (spec := self.find(sandbox_id)) is not None]

    def create(self, spec: SandboxSpec) -> None:
        """The record is written last: half a sandbox is none, and is made afresh."""
        directory = self._directory(spec.id)
        if (directory / SPEC).exists():
            return
        self.remove(spec.id)
        directory.mkdir(parents=True)
        if spec.own_users:
            spec = replace(spec, users=self._free_users())
        try:
            self._cgroups.create(self.cgroup(spec), spec.resources)
            shm = directory / "shm"
            shm.mkdir()
            flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
            owner = f",uid={spec.users},gid={spec.users}" if spec.users else ""
            kernel.mount("shm", str(shm), "tmpfs", flags, f"mode=1777,size={self._settings.shm_bytes}{owner}")
            self._make_namespaces(spec, directory)
            if spec.share_pid and not spec.host_pid:
                self._hold_pid_namespace(spec, directory)
            records.write_spec(directory / SPEC, spec)
        except (OSError, RuntimeFailure) as error:
            self.remove(spec.id, self.cgroup(spec))
            raise RuntimeFailure(f"sandbox {spec.id} cannot be made: {error}") from error
        finally:
            self._ranges.discard(spec.users)

    def remove(self, sandbox_id: str, group: str = "") -> None:
        """Unpin and forget. Its containers are gone by now."""
        directory = self._directory(sandbox_id)
        self._groups.pop(sandbox_id, None)
        spec = self.find(sandbox_id)
        group = self.cgroup(spec) if spec else group
        if group:
            cgroups.kill(self._cgroups, group)
            self._bury(sandbox_id)
            cgroups.remove(self._cgroups, group)
        if not directory.is_dir():
            return
        (directory / SPEC).unlink(missing_ok=True)
        for path in directory.iterdir():
            kernel.unmount(path)
        for name in (id_maps.LAYERS, id_maps.POINTS):
            # Not by the tree: should they still show the images, it stops here.
            if (directory / name).is_dir():
                (directory / name).rmdir()
        shutil.rmtree(directory)

    def place(self, spec: SandboxSpec, container_id: str, root: str, *, cgroup_v2: bool) -> Place:
        """What a container of the sandbox is told about where it lives."""
        directory = self._directory(spec.id)

        def path(kind: str) -> str:
            return str(directory / kind) if (directory / kind).exists() else ""

        shm = "/dev/shm" if spec.host_ipc else str(directory / "shm")
        group = f"{self.cgroup(spec)}/{container_id}"
        namespaces = {kind: path(kind) for kind in ("ipc", "uts", "pid", "user")}
        return Place(root, group, shm, **namespaces, sysfs=path(id_maps.SYSFS), users=spec.users, cgroup_v2=cgroup_v2)

    def user(self, spec: SandboxSpec) -> Path:
        """Where the user namespace of a sandbox with users of its own is pinned."""
        return self._directory(spec.id) / id_maps.USER

    def shown(self, spec: SandboxSpec, name: str) -> Path:
        """Where the layers or mount points are as such a sandbox is to see them."""
        return self._directory(spec.id) / name

    def cgroup(self, spec: SandboxSpec) -> str:
        return f"{self._settings.cgroup_parent}/{spec.cgroup.strip('/')}"

    def group_of(self, sandbox_id: str) -> str:
        """Its cgroup, remembered: who looks each second shall not read its record each time. "" if it is unknown."""
        group = self._groups.get(sandbox_id, "")
        if not group and (spec := self.find(sandbox_id)) is not None:
            group = self._groups[sandbox_id] = self.cgroup(spec)
        return group

    def update(self, spec: SandboxSpec) -> None:
        self._cgroups.apply(self.cgroup(spec), spec.resources)
        records.write_spec(self._directory(spec.id) / SPEC, spec)

    def close(self) -> None:
        self.threads.shutdown(wait=True)

    def _bury(self, sandbox_id: str) -> None:
        """The holder of a PID namespace was killed with the cgroup; it is our child unless we were started again."""
        holder = self._holders.pop(sandbox_id, None)
        if holder is not None:
            holder.wait()

    def _directory(self, sandbox_id: str) -> Path:
        return self._settings.sandboxes_dir / records.verify_id(sandbox_id)

    def _make_namespaces(self, spec: SandboxSpec, directory: Path) -> None:
        with kernel.returning("net", "ipc", "uts"):
            if spec.users:
                self._enter_own_users(spec, directory)
            else:
                kernel.unshare(kernel.CLONE_NEWUTS | (0 if spec.host_ipc else kernel.CLONE_NEWIPC))
            if spec.hostname:
                kernel.sethostname(spec.hostname)
            if spec.netns and (spec.sysctls or spec.users):
                _enter(Path(spec.netns))
            wanted = id_maps.sysctls(spec.sysctls) if spec.users and spec.netns else spec.sysctls
            for name, value in wanted.items():
                _write_sysctl(spec, name, value)
            if spec.users:
                self._show(directory)
                return
            kernel.pin("uts", directory / "uts")
            if not spec.host_ipc:
                kernel.pin("ipc", directory / "ipc")

    def _enter_own_users(self, spec: SandboxSpec, directory: Path) -> None:
        """This thread stays the host's root, in namespaces that belong to the sandbox's users."""
        id_maps.make(directory, spec.users)
        for kind in ("ipc", "uts"):
            _enter(directory / kind)

    def _show(self, directory: Path) -> None:
        """What its containers need of the host, as they are to see it. In the sandbox's network namespace."""
        user, settings = directory / id_maps.USER, self._settings
        settings.mount_points_dir.mkdir(parents=True, exist_ok=True)
        # Without what other tools have mounted there: such mounts cannot be shifted once more.
        id_maps.show(settings.storage_root / "overlay", directory / id_maps.LAYERS, user, recursive=False)
        id_maps.show(settings.mount_points_dir, directory / id_maps.POINTS, user, recursive=False)
        # crun would show the host's network interfaces there, because nobody here may mount one of this namespace.
        (directory / id_maps.SYSFS).mkdir()
        flags = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("sysfs", str(directory / id_maps.SYSFS), "sysfs", flags)

    def _free_users(self) -> int:
        with self._giving:
            base = id_maps.free_base({*(spec.users for spec in self.all()), *self._ranges})
            self._ranges.add(base)
        return base

    def _hold_pid_namespace(self, spec: SandboxSpec, directory: Path) -> None:
        command = ["unshare", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", f"echo ready; exec >&-; {REAPER}"]
        if spec.users:
            command = ["nsenter", f"--user={directory / id_maps.USER}", *command]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert process.stdout is not None
        with process.stdout:
            process.stdout.readline()
        (child,) = (int(pid) for pid in _children(process.pid))
        group = f"{self.cgroup(spec)}/{HOLDER}"
        self._cgroups.create(group, Resources(), holds_processes=True)
        for pid in (process.pid, child):
            self._cgroups.add(group, pid)
        path = directory / "pid"
        path.touch(mode=0o444)
        kernel.mount(f"/proc/{child}/ns/pid", str(path), "none", kernel.MS_BIND)
        # It ends with the sandbox's cgroup; until then it is nobody's to wait for.
        self._holders[spec.id] = process


def _enter(namespace: Path) -> None:
    with open(namespace, "rb") as pinned:
        kernel.setns(pinned.fileno())


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _write_sysctl(spec: SandboxSpec, name: str, value: str) -> None:
    """Only what a namespace of its own keeps from the host."""
    own_ipc = name.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")) or name == "kernel.sem"
    if not (own_ipc and not spec.host_ipc) and not (name.startswith("net.") and spec.netns):
        raise RuntimeFailure(f"sysctl {name} is not kept apart from the host's in this sandbox")
    path = Path("/proc/sys", *name.split("."))
    try:
        path.write_text(value)
    except OSError as error:
        raise RuntimeFailure(f"sysctl {name}={value}: {error.strerror}") from error
