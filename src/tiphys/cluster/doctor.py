"""
Is this machine fit for a node? Each check looks at one thing and says how it stands and what cures it.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tiphys.cluster import process
from tiphys.cluster.settings import Settings

OK, WARN, FAIL = "OK", "WARN", "FAIL"
# Commands that must be there, each with the Debian package that brings it.
COMMANDS = {
    "crun": "crun",
    "conmon": "conmon",
    "skopeo": "skopeo",
    "nft": "nftables",
}
# Needed from the first Ingress on.
OPTIONAL = {"haproxy": "haproxy"}
DISK_BYTES_MIN = 2 << 30
MEMORY_BYTES_MIN = 512 << 20
INOTIFY_MIN = 128
KERNEL_MIN = (5, 4)


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; `cure` is the exact thing to do about it."""

    state: str
    name: str
    found: str
    cure: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, in the order in which a person would look."""
    checks: tuple[Callable[[Settings], Iterator[Check]], ...] = (
        _root, _kernel, _commands, _packet_rules, _cgroups, _overlay, _forwarding, _ports, _ingress, _disk, _memory,
        _database, _server,
    )  # fmt: skip
    for check in checks:
        yield from check(settings)


def missing_packages() -> list[str]:
    """The Debian packages of commands and libraries that are not here."""
    missing = [package for command, package in COMMANDS.items() if shutil.which(command) is None]
    return sorted({*missing, *([] if _has_nftables() else ["nftables"])})


def optional_packages() -> list[str]:
    """Those that a cluster can do without until it uses what needs them."""
    from tiphys.ingress.haproxy import search_path

    return sorted(package for command, package in OPTIONAL.items() if shutil.which(command, path=search_path()) is None)


def install(packages: list[str]) -> None:
    """By apt. CalledProcessError if that fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=environment)
    command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
    subprocess.run(command, check=True, env=environment)


def _root(settings: Settings) -> Iterator[Check]:
    if os.geteuid() == 0:
        yield Check(OK, "root", "running as root")
    else:
        yield Check(FAIL, "root", f"running as uid {os.geteuid()}", "run it with sudo")


def _kernel(settings: Settings) -> Iterator[Check]:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers >= KERNEL_MIN:
        yield Check(OK, "kernel", release)
    else:
        yield Check(FAIL, "kernel", release, f"Linux {KERNEL_MIN[0]}.{KERNEL_MIN[1]} or later is needed")


def _commands(settings: Settings) -> Iterator[Check]:
    for command, package in COMMANDS.items():
        path = shutil.which(command)
        if path is None:
            yield Check(FAIL, command, "not installed", f"apt-get install {package} (or tiphys doctor --fix)")
            continue
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        yield Check(OK, command, told.splitlines()[0].strip() if told else path)


def _ingress(settings: Settings) -> Iterator[Check]:
    from tiphys.ingress import haproxy

    if not settings.ingress_http_port:
        yield Check(OK, "ingress", "off (--ingress-http-port 0)")
        return
    for package in optional_packages():
        yield Check(WARN, package, "not installed; Ingresses need it", f"apt-get install {package} (or doctor --fix)")
    ours = haproxy.running(settings.ingress_dir) is not None
    for name, port in (("http", settings.ingress_http_port), ("https", settings.ingress_https_port)):
        if ours or _is_free(settings.bind, port):
            yield Check(OK, f"port {port}", f"Ingresses: {'in use by the cluster' if ours else 'free'}")
        else:
            cure = f"stop it, or choose with --ingress-{name}-port"
            yield Check(WARN, f"port {port}", "Ingresses: taken by another process", cure)


def _has_nftables() -> bool:
    from tiphys.network import nftables

    try:
        nftables.engine().close()
    except OSError:
        return False
    return True


def _packet_rules(settings: Settings) -> Iterator[Check]:
    if not _has_nftables():
        yield Check(FAIL, "libnftables", "cannot be loaded", "apt-get install nftables (or tiphys doctor --fix)")
    elif subprocess.run(["nft", "list", "tables"], capture_output=True, check=False).returncode:
        yield Check(FAIL, "packet rules", "the kernel refuses nftables", "use a kernel with nf_tables, as root")
    else:
        yield Check(OK, "packet rules", "nftables answers")


def _cgroups(settings: Settings) -> Iterator[Check]:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        layout = "version 2"
    elif (root / "memory").is_dir():
        layout = "version 1" + (" with a version 2 hierarchy" if (root / "unified").is_dir() else "")
    else:
        yield Check(FAIL, "cgroups", "not mounted", "mount -t cgroup2 none /sys/fs/cgroup")
        return
    yield Check(OK, "cgroups", layout)


def _overlay(settings: Settings) -> Iterator[Check]:
    if "\toverlay\n" in Path("/proc/filesystems").read_text():
        yield Check(OK, "overlay", "the kernel has it")
    else:
        yield Check(FAIL, "overlay", "the kernel does not have it", "modprobe overlay")


def _forwarding(settings: Settings) -> Iterator[Check]:
    on = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    yield Check(OK, "forwarding", "on" if on else "off; `tiphys up` turns it on and `down` off again")


def _ports(settings: Settings) -> Iterator[Check]:
    ours = process.running(settings.pid_file) is not None
    for name, port, option in (("API", settings.port, "--port"), ("agent", settings.node_port, "--node-port")):
        if ours or _is_free(settings.bind, port):
            yield Check(OK, f"port {port}", f"{name}: {'in use by the cluster' if ours else 'free'}")
        else:
            yield Check(FAIL, f"port {port}", f"{name}: taken by another process", f"stop it, or choose with {option}")


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _disk(settings: Settings) -> Iterator[Check]:
    place = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    free = shutil.disk_usage(place).free
    state = OK if free >= DISK_BYTES_MIN else WARN
    yield Check(state, "disk", f"{free / (1 << 30):.1f} GiB free at {place}", "" if state == OK else "make room")


def _memory(settings: Settings) -> Iterator[Check]:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    state = OK if available >= MEMORY_BYTES_MIN else WARN
    cure = "" if state == OK else "end other programs, or give the machine more"
    yield Check(state, "memory", f"{available / (1 << 30):.1f} GiB available", cure)


def _database(settings: Settings) -> Iterator[Check]:
    if not settings.database.exists():
        yield Check(OK, "database", f"none yet in {settings.data_dir} (SQLite {sqlite3.sqlite_version})")
        return
    connection = sqlite3.connect(f"file:{settings.database}?mode=ro", uri=True)
    try:
        told = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        told = str(error)
    finally:
        connection.close()
    if told == "ok":
        yield Check(OK, "database", f"{settings.database} is sound")
    else:
        yield Check(FAIL, "database", f"{settings.database}: {told}", "put back a copy of the file, or start anew")


def _server(settings: Settings) -> Iterator[Check]:
    pid = process.running(settings.pid_file)
    if pid is None:
        yield Check(OK, "server", "not running")
    else:
        yield Check(OK, "server", f"running (pid {pid})")
