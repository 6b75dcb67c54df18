"""The options that several commands share, and the Settings they make."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tiphys.cli.main import UsageError
from tiphys.cluster import reservations, saved
from tiphys.cluster.settings import DATA_DIR, RUN_DIR, Settings

T = TypeVar("T")


def add_place(sub: argparse.ArgumentParser, default: Path | str = DATA_DIR) -> None:
    """Where the cluster's files lie."""
    sub.add_argument("--data-dir", type=Path, default=default, metavar="DIR", help=f"its files (default {DATA_DIR})")


def add_network(sub: argparse.ArgumentParser) -> None:
    """
    Ports, addresses and names that must not collide with another cluster on the machine.

    What is not said stays as it was when the cluster was last brought up, or is the default.
    """
    standard = Settings()
    sub.add_argument("--port", type=int, help=f"the API's port (default {standard.port})")
    sub.add_argument("--node-port", type=int, help=f"the node agent's port (default {standard.node_port})")
    sub.add_argument("--node-name", metavar="NAME", help="this node's name (default: the host name)")
    sub.add_argument("--pod-cidr", help=f"addresses of pods (default {standard.pod_cidr})")
    sub.add_argument("--service-cidr", help=f"addresses of Services (default {standard.service_cidr})")
    sub.add_argument("--bridge", help=f"the pods' bridge (default {standard.bridge})")
    sub.add_argument("--ingress-http-port", type=int, help=f"0: no Ingress (default {standard.ingress_http_port})")
    sub.add_argument("--ingress-https-port", type=int, help=f"its TLS port (default {standard.ingress_https_port})")
    sub.add_argument("--insecure-registry", action="append", metavar="HOST[:PORT]", help="a registry on plain HTTP")
    sub.add_argument("--registry-mirror", action="append", metavar="REGISTRY=HOST[:PORT]", help="ask this host first")
    sub.add_argument("--storage-root", type=Path, metavar="DIR", help="the images (containers/storage)")
    sub.add_argument("--shutdown-grace", type=float, metavar="SECONDS", help="for pods, by priority, when it goes down")
    sub.add_argument("--shutdown-grace-critical", type=float, metavar="SECONDS", help="critical pods' part of it")
    sub.add_argument("--kubelet-dir", type=Path, metavar="LINK", help="a link by which drivers know the node's files")
    sub.add_argument("--static-pods", type=Path, metavar="DIR", help="manifests of pods that this node runs by itself")
    sub.add_argument("--system-reserved", metavar="cpu=200m,memory=512Mi", help="what pods may not ask for")
    hard = standard.eviction_hard.partition(",")[0]
    sub.add_argument("--eviction-hard", metavar="RULES", help=f"when pods give way at once, as {hard},…")
    sub.add_argument("--eviction-soft", metavar="RULES", help="when they give way after a while")
    sub.add_argument("--eviction-soft-grace-period", metavar="TIMES", help="that while, as memory.available=90s")


def add_user_kubeconfig(sub: argparse.ArgumentParser) -> None:
    """The user's own kubeconfig, which gets a context."""
    named = os.environ.get("KUBECONFIG", "").split(":")[0]
    path = Path(named) if named else Path.home() / ".kube" / "config"
    sub.add_argument("--kubeconfig", type=Path, default=path, metavar="FILE", help=f"gets the context (default {path})")


def saved_settings(options: argparse.Namespace) -> Settings | None:
    """The settings of the cluster that was brought up in the data directory, if any."""
    try:
        return saved.load(options.data_dir.resolve())
    except PermissionError:
        raise UsageError(f"{options.data_dir} is readable by root alone: run it with sudo") from None


def run_dir_of(data_dir: Path) -> Path:
    """The default cluster uses /run/tiphys; another one a directory of its own, which without root is not in /run."""
    if data_dir == DATA_DIR:
        return RUN_DIR
    if os.geteuid() != 0:
        return data_dir / "run"
    # Short, since sockets lie in it whose paths have a limit of 108 bytes.
    return Path("/run") / f"tiphys-{suffix_of(data_dir.resolve())}"


def settings(options: argparse.Namespace) -> Settings:
    """The Settings that the options ask for, on top of those with which the cluster was last brought up."""
    data_dir = options.data_dir.resolve()
    base = saved_settings(options) or _fresh(data_dir)
    asked = {name: getattr(options, name, None) for name in _PLAIN}
    asked["insecure_registries"] = _listed(options, "insecure_registry", str)
    asked["registry_mirrors"] = _listed(options, "registry_mirror", _mirror)
    if getattr(options, "storage_root", None):
        asked |= {"storage_root": options.storage_root.resolve(), "storage_run": base.run_dir}
    if getattr(options, "kubelet_dir", None):
        asked["kubelet_dir"] = options.kubelet_dir.absolute()
    if getattr(options, "static_pods", None):
        asked["static_pods"] = options.static_pods.resolve()
    made = dataclasses.replace(base, **{name: value for name, value in asked.items() if value is not None})
    _check(made)
    return made


def _check(made: Settings) -> None:
    """What a node could not begin with is said here, before anything is started."""
    try:
        reservations.check(made)
    except ValueError as error:
        raise UsageError(str(error)) from None


_PORTS = ("port", "node_port", "ingress_http_port", "ingress_https_port")
_EVICTION = ("eviction_hard", "eviction_soft", "eviction_soft_grace_period")
_SHUTDOWN = ("shutdown_grace", "shutdown_grace_critical")
_OTHERS = ("node_name", "pod_cidr", "service_cidr", "bridge", "memory", "system_reserved")
_PLAIN = (*_PORTS, *_SHUTDOWN, *_OTHERS, *_EVICTION)


def _fresh(data_dir: Path) -> Settings:
    """A new cluster, whose names on the machine nobody else has."""
    fresh = Settings(data_dir=data_dir, run_dir=run_dir_of(data_dir))
    if data_dir == DATA_DIR:
        return fresh
    name = f"tiphys-{suffix_of(data_dir)}"
    return dataclasses.replace(fresh, nft_table=name, cgroup=name)


def _listed(options: argparse.Namespace, name: str, read: Callable[[str], T]) -> tuple[T, ...] | None:
    """What was said any number of times; None if it was not said."""
    given = getattr(options, name, None)
    return tuple(read(text) for text in given) if given is not None else None


def suffix_of(data_dir: Path) -> str:
    """A short name for a data directory that is not the default one; no two directories share it."""
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9]+", "-", data_dir.name.lower())[:12].strip("-")
    return f"{readable}-{digest}" if readable else digest


def _mirror(text: str) -> tuple[str, str]:
    registry, separator, mirror = text.partition("=")
    if not separator or not registry or not mirror:
        raise UsageError(f"--registry-mirror takes REGISTRY=HOST[:PORT], not {text!r}")
    return registry, mirror


def need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise UsageError(f"{what} needs root: run it with sudo (without root, `tiphys serve --no-node` gives the API)")
