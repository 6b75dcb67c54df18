"""
An OCI bundle's config.json from what the caller asked for and what the image says. Pure, but for what the host has.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.runtime import id_maps, kernel, seccomp
from tiphys.runtime.door import ContainerSpec, Device, Image, Mount, SandboxSpec, StartFailed
from tiphys.runtime.users import User

_KERNEL_ORDER = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_DEFAULT = """
CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
AUDIT_WRITE
"""
# By their numbers.
CAPABILITIES = _KERNEL_ORDER.split()
DEFAULT_CAPABILITIES = frozenset(_DEFAULT.split())
MASKED_PATHS = [
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
]  # fmt: skip
READ_ONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where things of one container are: paths of its sandbox ("" where the host's is shared), its cgroup and root.
    `users` is the first number of its users on the host (0: the host's), `sysfs` a /sys for who may not mount one.
    """

    root: str
    cgroup: str
    shm: str
    ipc: str = ""
    uts: str = ""
    pid: str = ""
    user: str = ""
    sysfs: str = ""
    users: int = 0
    cgroup_v2: bool = False


def config(spec: ContainerSpec, image: Image, sandbox: SandboxSpec, place: Place, user: User) -> dict[str, Any]:
    """The whole configuration, but for the OOM score, which depends on what this process may do."""
    held = capabilities_of(spec)
    security = spec.security
    linux: dict[str, Any] = {
        "namespaces": _namespaces(sandbox, place),
        "cgroupsPath": f"/{place.cgroup}",
        "resources": _resources(spec, place),
        "devices": _devices(spec),
    }
    if place.users:
        mapping = [{"containerID": 0, "hostID": place.users, "size": id_maps.COUNT}]
        linux |= {"uidMappings": mapping, "gidMappings": mapping}
    if _propagation(spec.mounts):
        linux["rootfsPropagation"] = _propagation(spec.mounts)
    if not security.privileged:
        if not security.unmasked_proc:
            linux |= {"maskedPaths": MASKED_PATHS, "readonlyPaths": READ_ONLY_PATHS}
        filtered = seccomp.profile(security.seccomp, frozenset(held))
        if filtered is not None:
            linux["seccomp"] = filtered
    return {
        "ociVersion": "1.0.0",
        "process": _process(spec, image, user, held, sandbox),
        "root": {"path": place.root, "readonly": security.read_only_root},
        "mounts": [*_base_mounts(place, spec), *(_mount(mount) for mount in spec.mounts)],
        "annotations": dict(spec.annotations),
        "linux": linux,
    }


def capabilities_of(spec: ContainerSpec) -> list[str]:
    """The set that the container holds, never more than this process could give."""
    bounds = kernel.capabilities()
    available = [name for number, name in enumerate(CAPABILITIES) if bounds >> number & 1]
    security = spec.security
    if security.privileged:
        return [f"CAP_{name}" for name in available]
    add, drop = _bare(security.add_capabilities), _bare(security.drop_capabilities)
    wanted = set(available) if "ALL" in add else set() if "ALL" in drop else set(DEFAULT_CAPABILITIES)
    wanted = (wanted - drop) | (add - {"ALL"})
    unknown = sorted(wanted.difference(CAPABILITIES))
    if unknown:
        raise StartFailed(f"unknown capability {unknown[0]!r}")
    missing = sorted((add - {"ALL"}).difference(available))
    if missing:
        raise StartFailed(f"capability CAP_{missing[0]} cannot be given: this host withholds it from the runtime")
    return [f"CAP_{name}" for name in available if name in wanted]


def _bare(names: Sequence[str]) -> set[str]:
    return {name.upper().removeprefix("CAP_") for name in names}


def arguments(spec: ContainerSpec, image: Image) -> list[str]:
    """A command replaces the image's entrypoint and its arguments; arguments alone replace only those."""
    if spec.command:
        return [*spec.command, *spec.args]
    return [*image.entrypoint, *(spec.args or image.command)]


def environment(spec: ContainerSpec, image: Image, hostname: str) -> list[str]:
    """Later wins over earlier; the place of the first is kept."""
    pairs = [entry.partition("=")[::2] for entry in (PATH, f"HOSTNAME={hostname}", *image.env)]
    merged = dict([*pairs, *spec.env])
    if spec.tty:
        merged.setdefault("TERM", "xterm")
    return [f"{name}={value}" for name, value in merged.items()]


def _process(spec: ContainerSpec, image: Image, user: User, held: list[str], sandbox: SandboxSpec) -> dict[str, Any]:
    command = arguments(spec, image)
    if not command:
        raise StartFailed("no command specified: neither the container nor its image has one")
    # Who is not root holds nothing until a file gives it, as with every container runtime.
    active = held if user.uid == 0 else []
    profile = {"apparmorProfile": spec.security.apparmor} if spec.security.apparmor else {}
    return {
        **profile,
        "terminal": spec.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": [user.gid, *user.groups]},
        "args": command,
        "env": environment(spec, image, sandbox.hostname),
        "cwd": spec.working_dir or image.working_dir or "/",
        "noNewPrivileges": spec.security.no_new_privileges,
        "capabilities": {"bounding": held, "effective": active, "permitted": active},
    }


def _namespaces(sandbox: SandboxSpec, place: Place) -> list[dict[str, str]]:
    found: list[dict[str, str]] = [{"type": "mount"}]
    found += [{"type": "user", "path": place.user}] if place.user else []
    found += [{"type": "uts", "path": place.uts}] if place.uts else []
    found += [{"type": "ipc", "path": place.ipc}] if place.ipc else []
    found += [{"type": "network", "path": sandbox.netns}] if sandbox.netns else []
    if place.pid:
        found.append({"type": "pid", "path": place.pid})
    elif not sandbox.host_pid:
        found.append({"type": "pid"})
    if place.cgroup_v2:
        found.append({"type": "cgroup"})
    return found


def _resources(spec: ContainerSpec, place: Place) -> dict[str, Any]:
    r = spec.resources
    cpu: dict[str, Any] = {"period": r.cpu_period_us, "quota": r.cpu_quota_us} if r.cpu_quota_us else {}
    if r.cpu_shares:
        cpu["shares"] = r.cpu_shares
    rules: list[dict[str, Any]] = [{"allow": spec.security.privileged, "access": "rwm"}]
    if not spec.security.privileged:
        rules += [_device_rule(device) for device in spec.devices]
    resources: dict[str, Any] = {"devices": rules, "cpu": cpu}
    if r.memory_limit_bytes:
        # No swap: a limit that the disk extends is none.
        resources["memory"] = {"limit": r.memory_limit_bytes, "swap": r.memory_limit_bytes}
    if r.pids_limit:
        resources["pids"] = {"limit": r.pids_limit}
    if r.hugepages:
        resources["hugepageLimits"] = [{"pageSize": size, "limit": limit} for size, limit in r.hugepages.items()]
    if place.cgroup_v2:
        # One process too many ends the container, not a random part of it.
        resources["unified"] = {"memory.oom.group": "1"}
    return resources


def _base_mounts(place: Place, spec: ContainerSpec) -> list[dict[str, Any]]:
    access = "rw" if spec.security.privileged else "ro"
    quiet = ["nosuid", "noexec", "nodev"]
    mounts: list[tuple[str, str, str, list[str]]] = [
        ("/proc", "proc", "proc", quiet),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/dev/mqueue", "mqueue", "mqueue", quiet),
        ("/sys", "bind", place.sysfs, ["rbind", *quiet, "ro"])
        if place.sysfs
        else ("/sys", "sysfs", "sysfs", [*quiet, access]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", [*quiet, "relatime", access]),
        ("/dev/shm", "bind", place.shm, ["rbind", "nosuid", "noexec", "nodev"]),
    ]
    own = {mount.destination.rstrip("/") for mount in spec.mounts}
    return [
        {"destination": where, "type": kind, "source": source, "options": options}
        for where, kind, source, options in mounts
        if where not in own
    ]


def _mount(mount: Mount) -> dict[str, Any]:
    if mount.type == "tmpfs":
        options = ["nosuid", "nodev", *mount.options, *(["ro"] if mount.read_only else [])]
        return {"destination": mount.destination, "type": "tmpfs", "source": "tmpfs", "options": options}
    access = "rro" if mount.recursive_read_only else "ro" if mount.read_only else "rw"
    options = ["rbind", mount.propagation, access, *mount.options]
    return {"destination": mount.destination, "type": "bind", "source": mount.source, "options": options}


def _propagation(mounts: Sequence[Mount]) -> str:
    """What a mount lets through, the root must let through."""
    asked = {mount.propagation for mount in mounts}
    return "rshared" if "rshared" in asked else "rslave" if "rslave" in asked else ""


def _devices(spec: ContainerSpec) -> list[dict[str, Any]]:
    if spec.security.privileged:
        return [_device(path, path) for path in _host_devices()]
    return [_device(device.host_path, device.path) for device in spec.devices]


def _device(host_path: str, path: str) -> dict[str, Any]:
    found = _stat_device(host_path)
    return {
        "path": path,
        "type": "b" if stat.S_ISBLK(found.st_mode) else "c",
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def _device_rule(device: Device) -> dict[str, Any]:
    described = _device(device.host_path, device.path)
    numbers = {name: described[name] for name in ("type", "major", "minor")}
    return {"allow": True, **numbers, "access": device.permissions}


def _stat_device(path: str) -> os.stat_result:
    try:
        found = os.stat(path)
    except OSError as error:
        raise StartFailed(f"device {path}: {error.strerror}") from error
    if not (stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode)):
        raise StartFailed(f"{path} is not a device")
    return found


def _host_devices() -> list[str]:
    """Every device node of the host, but for those that each container has of its own."""
    own = {"/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console", "/dev/ptmx", "/dev/null", "/dev/zero", "/dev/full"}
    own |= {"/dev/random", "/dev/urandom", "/dev/tty"}
    found: list[str] = []
    for directory, children, files in os.walk("/dev"):
        children[:] = [name for name in children if f"{directory}/{name}" not in own]
        paths = [f"{directory}/{name}" for name in files if f"{directory}/{name}" not in own]
        found += [path for path in paths if not Path(path).is_symlink() and _is_device(path)]
    return sorted(found)


def _is_device(path: str) -> bool:
    mode = os.lstat(path).st_mode
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
