"""
One container on disk: its bundle, its root file system, its records. Blocks for a moment: call in a worker thread.

    <run_dir>/containers/<id>/container.json   what was asked for; written last, so half a container is none
                             /config.json      the OCI bundle; `create` is a link to it, see monitor.py
                             /shown/<n>        its mounts, for a sandbox with users of its own
                             /rootfs           overlay mount of the image's layers and <data_dir>/layers/<id>
                             /pid conmon.pid   written by conmon
                             /started          when it was started; written before anything is
                             /exit/<id>        exit code, written by conmon
                             /ended.json       how it ended, once we have seen that
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiphys.runtime import bundle, cgroups, id_maps, kernel, monitor, records, seccomp, users
from tiphys.runtime.door import ContainerSpec, ContainerStatus, NotFound, SandboxSpec
from tiphys.runtime.mount_points import MountPoints
from tiphys.runtime.sandbox import Sandboxes
from tiphys.runtime.settings import RuntimeSettings
from tiphys.runtime.spawner import Spawner
from tiphys.runtime.storage import Storage, Stored

RECORD, ENDED, STARTED, SHOWN = "container.json", "ended.json", "started", "shown"
KILLED_CODE = 128 + signal.SIGKILL
START_FAILED_CODE = 128
# A monitor ends at once after its container; one that does not is stuck.
MONITOR_SECONDS_MAX = 5.0
# The kernel takes one page of mount options; "lowerdir=" and the end are in it, too.
MOUNT_OPTIONS_MAX = 4096 - 16
# Between two looks at a start that another process has begun: there is nobody who would tell.
ADOPT_PAUSE_SECONDS = 0.01


@dataclass(slots=True)
class Record:
    """A container as this process knows it."""

    spec: ContainerSpec
    image_id: str
    cgroup: str
    created_at: float
    started_at: float = 0.0
    pid: int = 0
    filter: str = ""
    user: tuple[int, int, tuple[int, ...]] | None = None
    ended: dict[str, Any] | None = None

    @property
    def state(self) -> str:
        return "exited" if self.ended else "running" if self.pid else "created"

    def status(self) -> ContainerStatus:
        spec, ended = self.spec, self.ended or {}
        return ContainerStatus(
            spec.id, spec.sandbox, spec.name, self.state, 0 if self.ended else self.pid, self.image_id,
            self.created_at, self.started_at, labels=spec.labels, user=self.user, **ended,
        )  # fmt: skip


class Containers:
    """The directory of all."""

    def __init__(
        self, settings: RuntimeSettings, groups: cgroups.Cgroups, sandboxes: Sandboxes, storage: Storage
    ) -> None:
        self._settings = settings
        self._cgroups = groups
        self._sandboxes = sandboxes
        self._storage = storage
        self._filters = seccomp.Filters()
        self._haste = cgroups.Haste()
        self._mount_points = MountPoints(settings.mount_points_dir)

    def close(self) -> None:
        self._haste.close()

    def directory(self, container_id: str) -> Path:
        return self._settings.containers_dir / records.verify_id(container_id)

    def _pid_namespace_of(self, container_id: str) -> str:
        """Where a container that joins it finds it. Never the host's, should the number be somebody else's by now."""
        path = f"/proc/{monitor.read_pid(self.directory(container_id))}/ns/pid"
        try:
            is_hosts = os.stat(path).st_ino == os.stat("/proc/self/ns/pid").st_ino
        except FileNotFoundError:
            is_hosts = True
        if is_hosts:
            raise NotFound(f"container {container_id} is not running: its processes cannot be joined")
        return path

    def build(self, spec: ContainerSpec, stored: Stored, sandbox: SandboxSpec, oom_score_adj: int | None) -> Record:
        """Everything that a start needs; nothing is left when it fails."""
        self._haste.begin()
        directory = self.directory(spec.id)
        self.wipe(spec.id)
        (directory / "exit").mkdir(parents=True)
        root = directory / "rootfs"
        try:
            self._mount_root(spec, stored.layer, root, sandbox)
            mounts = spec.mounts
            if sandbox.users:
                mounts = id_maps.shown(mounts, directory / SHOWN, self._sandboxes.user(sandbox))
            v2 = isinstance(self._cgroups, cgroups.V2)
            place = self._sandboxes.place(sandbox, spec.id, str(root), cgroup_v2=v2)
            if spec.pid_of and not (sandbox.host_pid or sandbox.share_pid):
                place = replace(place, pid=self._pid_namespace_of(spec.pid_of))
            user = users.resolve(root, stored.image.user, spec.security)
            config = bundle.config(replace(spec, mounts=mounts), stored.image, sandbox, place, user)
            if oom_score_adj is not None:
                config["process"]["oomScoreAdj"] = oom_score_adj
            known_filter = self._filters.give(config)
            (directory / "config.json").write_text(json.dumps(config))
            (directory / monitor.CONFIG_LINK).symlink_to("config.json")
            Path(spec.log_path).parent.mkdir(parents=True, exist_ok=True)
            held = (user.uid, user.gid, (user.gid, *user.groups))
            record = Record(spec, stored.image.id, place.cgroup, time.time(), filter=known_filter, user=held)
            more = {"image_id": record.image_id, "cgroup": record.cgroup, "created_at": record.created_at, "user": held}
            records.write_spec(directory / RECORD, spec, **more)
        except BaseException:
            self.wipe(spec.id)
            raise
        return record

    def load(self, container_id: str) -> Record | None:
        """What is on disk, made whole: see `adopt` for what an interrupted start leaves."""
        directory = self.directory(container_id)
        raw = records.read(directory / RECORD)
        if raw is None:
            return None
        record = Record(records.container_spec(raw["spec"]), raw["image_id"], raw["cgroup"], raw["created_at"])
        record.user = _user(raw.get("user"))
        record.ended = records.read(directory / ENDED)
        started = directory / STARTED
        if started.exists():
            record.started_at = float(started.read_text())
        return record

    def adopt_all(self) -> list[Record]:
        """Every container of an earlier process, its state found out; halves of containers are cleared away."""
        found = []
        for directory in [*self._settings.containers_dir.iterdir()]:
            record = self.load(directory.name)
            if record is None:
                self.wipe(directory.name)
            else:
                self.adopt(record)
                found.append(record)
        self._mount_points.forget_unused()
        known = {record.spec.id for record in found}
        for layer in [*self._settings.layers_dir.iterdir()]:
            if layer.name not in known:
                shutil.rmtree(layer)
        return found

    def adopt(self, record: Record) -> None:
        """
        Find out how far an earlier process came. A monitor that it started goes on without it: wait for what that
        makes of the start. A start of which crun knows nothing can be made again; any other has run, or might have.
        """
        if record.ended is not None:
            return
        spec_id = record.spec.id
        directory = self.directory(spec_id)
        record.pid = self._pid_when_started(spec_id) if (directory / STARTED).exists() else 0
        if record.pid:
            return
        known = (self._settings.crun_root / spec_id).exists() or monitor.read_exit(directory, spec_id) is not None
        if (directory / STARTED).exists() and known:
            for pid in monitor.strays(spec_id, directory):
                _kill_and_wait(pid)
            self.finish(record)
        else:
            self.reset(record)

    def _pid_when_started(self, container_id: str) -> int:
        """The container's pid once its monitor has told; 0 when there is no monitor, or one that does not tell."""
        directory = self.directory(container_id)
        deadline = time.monotonic() + MONITOR_SECONDS_MAX
        # Its words are looked for only where it has not come to write its pid.
        while self.is_monitored(container_id) or monitor.strays(container_id, directory):
            pid = monitor.read_pid(directory)
            if pid or time.monotonic() > deadline:
                return pid
            time.sleep(ADOPT_PAUSE_SECONDS)
        return 0

    def is_monitored(self, container_id: str) -> bool:
        descriptor = monitor.monitor_of(self.directory(container_id), container_id)
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def launch(self, record: Record, spawner: Spawner, now: float) -> int:
        """Run it: its pid. StartFailed. What has begun is marked before it does, so that it never begins twice."""
        directory = self.directory(record.spec.id)
        record.started_at = now
        (directory / STARTED).write_text(repr(now))
        words = monitor.command(record.spec, directory, self._settings.crun_root, spawner)
        pid = monitor.launch(words, directory, spawner.descriptor)
        self._filters.learn(record.filter, self._settings.crun_root / record.spec.id)
        return pid

    def finish(self, record: Record, message: str = "", code: int | None = None) -> None:
        """The container is over: end what is left of it, write down how it ended, give its cgroup back."""
        directory = self.directory(record.spec.id)
        oom_kills = self._cgroups.oom_kills(record.cgroup)
        cgroups.kill(self._cgroups, record.cgroup)
        found = monitor.read_exit(directory, record.spec.id)
        if found is None and code is None:
            code, message = KILLED_CODE, message or "the monitor of the container was killed, and the container with it"
        exit_code = code if code is not None else found.code if found else KILLED_CODE
        ended = {
            "finished_at": found.at if found else time.time(),
            "exit_code": exit_code,
            "oom_killed": oom_kills > 0 and exit_code != 0,
            "message": message,
        }
        records.write(directory / ENDED, json.dumps(ended).encode())
        self._forget_run(record)
        record.pid, record.ended = 0, ended

    def reset(self, record: Record) -> None:
        """Back to what `build` left, whatever a start has set up. The program has not run."""
        directory = self.directory(record.spec.id)
        for pid in monitor.strays(record.spec.id, directory):
            _kill_and_wait(pid)
        cgroups.kill(self._cgroups, record.cgroup)
        self._forget_run(record)
        for name in (STARTED, monitor.CONTAINER_PID, monitor.MONITOR_PID, "ctl", "winsz", "attach"):
            (directory / name).unlink(missing_ok=True)
        record.started_at, record.pid = 0.0, 0

    def end_monitor(self, container_id: str) -> None:
        """For a monitor that does not end though its container has."""
        descriptor = monitor.monitor_of(self.directory(container_id), container_id)
        if descriptor is not None:
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except ProcessLookupError:
                pass
            finally:
                os.close(descriptor)

    def remove(self, record: Record) -> None:
        if record.ended is None:
            self.reset(record)
        self.wipe(record.spec.id)

    def wipe(self, container_id: str) -> None:
        """Free everything that belongs to a container which does not run."""
        directory = self.directory(container_id)
        if directory.is_dir():
            (directory / RECORD).unlink(missing_ok=True)
            kernel.unmount(directory / "rootfs")
            id_maps.hide(directory / SHOWN)
            shutil.rmtree(directory)
        layer = self._settings.layers_dir / container_id
        if layer.is_dir():
            shutil.rmtree(layer)

    def _forget_run(self, record: Record) -> None:
        cgroups.remove(self._cgroups, record.cgroup)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._settings.crun_root / record.spec.id)

    def _mount_root(self, spec: ContainerSpec, layer: str, root: Path, sandbox: SandboxSpec) -> None:
        own = self._settings.layers_dir / spec.id
        upper, work = own / "upper", own / "work"
        for path in (upper, work, root):
            path.mkdir(parents=True)
        upper.chmod(0o755)
        tree, layers = self._mount_points.tree(spec.mounts), self._storage.overlay_dir
        if sandbox.users:
            os.chown(upper, sandbox.users, sandbox.users)
            tree = self._sandboxes.shown(sandbox, id_maps.POINTS) / tree.name
            layers = self._sandboxes.shown(sandbox, id_maps.LAYERS)
        points = str(tree)
        image = self._storage.lower_directories(layer) if layer else points
        # Volatile, because what a container writes to its root ends with it: no sync when it is unmounted.
        rest = f",upperdir={upper},workdir={work},volatile"
        below = f":{points}" if layer and len(image) + len(points) + len(rest) < MOUNT_OPTIONS_MAX else ""
        # Relative to this thread's own working directory: absolute, a long chain would not fit in a page.
        os.chdir(layers)
        kernel.mount("overlay", str(root), "overlay", 0, f"lowerdir={image}{below}{rest}")
        os.chdir("/")


def _user(raw: list[Any] | None) -> tuple[int, int, tuple[int, ...]] | None:
    return (raw[0], raw[1], tuple(raw[2])) if raw else None


def _kill_and_wait(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            cgroups.await_ends([descriptor], time.monotonic() + MONITOR_SECONDS_MAX)
        finally:
            os.close(descriptor)
