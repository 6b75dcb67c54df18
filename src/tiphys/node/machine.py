"""What this machine has and is: capacity, allocatable, addresses' names, kernel, system. Read once at start."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.node.pressure import thresholds
from tiphys.node.settings import NodeSettings

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True, slots=True)
class Machine:
    """
    `capacity` and `allocatable` are quantities by resource name; `info` is Node.status.nodeInfo. `apparmor` and
    `selinux`: whether the kernel enforces them; `user_namespaces`: whether it has any to give.
    """

    capacity: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 0
    hostname: str = ""
    architecture: str = "amd64"
    info: Mapping[str, object] = field(default_factory=dict)
    apparmor: bool = False
    selinux: bool = False
    user_namespaces: bool = False


def read_machine(settings: NodeSettings, runtime_version: str, version: str) -> Machine:
    """Ask the kernel. `version` is what the agent calls its own version (v1.36.…)."""
    memory = memory_info()["MemTotal"]
    cpus = len(os.sched_getaffinity(0))
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    disk = os.statvfs(settings.data_dir)
    disk_bytes = disk.f_blocks * disk.f_frsize
    pages = huge_pages()
    reserved = settings.system_reserved
    capacity = {
        "cpu": str(cpus),
        "memory": f"{memory // 1024}Ki",
        "ephemeral-storage": f"{disk_bytes // 1024}Ki",
        "pods": str(settings.pods_max),
        **{name: str(size) for name, size in pages.items()},
    }
    cpu_left = cpus * 1000 - reserved.get("cpu", 0)
    # What hard eviction thresholds keep free is for no pod.
    rules = thresholds.parse(settings.eviction_hard)
    memory_kept = thresholds.reserved(rules, thresholds.MEMORY, memory) + reserved.get("memory", 0)
    memory_left = memory - memory_kept - sum(pages.values())
    disk_kept = thresholds.reserved(rules, thresholds.NODE_BYTES, disk_bytes) + reserved.get("ephemeral-storage", 0)
    disk_left = disk_bytes - disk_kept
    allocatable = {
        **capacity,
        "cpu": str(cpu_left // 1000) if cpu_left % 1000 == 0 else f"{cpu_left}m",
        "memory": f"{max(memory_left, 0) // 1024}Ki",
        "ephemeral-storage": str(max(disk_left, 0)),
    }
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    info = {
        "machineID": _text("/etc/machine-id").replace("-", ""),
        "systemUUID": _text("/sys/class/dmi/id/product_uuid").lower(),
        "bootID": _text("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "osImage": os_image(),
        "containerRuntimeVersion": runtime_version,
        "kubeletVersion": version,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": architecture,
    }
    return Machine(
        capacity,
        allocatable,
        memory,
        socket.gethostname().lower(),
        architecture,
        info,
        apparmor=_text("/sys/module/apparmor/parameters/enabled") == "Y",
        selinux=_text("/sys/fs/selinux/enforce") != "",
        user_namespaces=int(_text("/proc/sys/user/max_user_namespaces") or 0) > 0,
    )


def memory_info() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        found[name] = int(words[0]) * (1024 if len(words) > 1 else 1)
    return found


def huge_pages() -> dict[str, int]:
    """`hugepages-2Mi` → bytes that the machine has set aside."""
    found = {}
    root = Path("/sys/kernel/mm/hugepages")
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        kilobytes = int(folder.name.removeprefix("hugepages-").removesuffix("kB"))
        size = f"{kilobytes // (1024 * 1024)}Gi" if kilobytes >= 1024 * 1024 else f"{kilobytes // 1024}Mi"
        if kilobytes < 1024:
            size = f"{kilobytes}Ki"
        found[f"hugepages-{size}"] = int(_text(str(folder / "nr_hugepages")) or 0) * kilobytes * 1024
    return found


def os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return "Linux"


def _text(path: str) -> str:
    """A small file of the system; "" where a machine has none (containers, old firmware)."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
