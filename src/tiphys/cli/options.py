"""The options that several commands share, and the Settings they make."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from pathlib import Path

from tiphys.cli.main import UsageError
from tiphys.cluster import saved
from tiphys.cluster.settings import API_PORT, DATA_DIR, NODE_PORT, RUN_DIR, Settings


def add_place(sub: argparse.ArgumentParser) -> None:
    """Where the cluster's files lie."""
    sub.add_argument("--data-dir", type=Path, default=DATA_DIR, metavar="DIR", help=f"its files (default {DATA_DIR})")


def add_network(sub: argparse.ArgumentParser) -> None:
    """Ports, addresses and names that must not collide with another cluster on the machine."""
    sub.add_argument("--port", type=int, default=API_PORT, help=f"the API's port (default {API_PORT})")
    sub.add_argument("--node-port", type=int, default=NODE_PORT, help=f"the node agent's port (default {NODE_PORT})")
    sub.add_argument("--node-name", default="", metavar="NAME", help="this node's name (default: the host name)")
    sub.add_argument("--pod-cidr", default="10.42.0.0/24", help="addresses of pods (default 10.42.0.0/24)")
    sub.add_argument("--service-cidr", default="10.96.0.0/16", help="addresses of Services (default 10.96.0.0/16)")
    sub.add_argument("--bridge", default="tiphys0", help="the pods' bridge (default tiphys0)")
    sub.add_argument(
        "--insecure-registry", action="append", default=[], metavar="HOST[:PORT]", help="a registry on plain HTTP"
    )
    sub.add_argument(
        "--registry-mirror", action="append", default=[], metavar="REGISTRY=HOST[:PORT]", help="ask this host first"
    )
    sub.add_argument("--storage-root", type=Path, default=None, metavar="DIR", help="the images (containers/storage)")


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
    """The Settings that the options ask for."""
    data_dir = options.data_dir.resolve()
    name = suffix_of(data_dir)
    chosen: dict[str, object] = {"data_dir": data_dir, "run_dir": run_dir_of(data_dir)}
    if data_dir != DATA_DIR:
        chosen |= {"nft_table": f"tiphys-{name}", "cgroup": f"tiphys-{name}"}
    for field in ("port", "node_port", "pod_cidr", "service_cidr", "bridge", "memory"):
        if hasattr(options, field):
            chosen[field] = getattr(options, field)
    if getattr(options, "node_name", ""):
        chosen["node_name"] = options.node_name
    if getattr(options, "storage_root", None):
        chosen |= {"storage_root": options.storage_root, "storage_run": chosen["run_dir"]}
    chosen["insecure_registries"] = tuple(getattr(options, "insecure_registry", ()))
    chosen["registry_mirrors"] = tuple(_mirror(text) for text in getattr(options, "registry_mirror", ()))
    return Settings(**chosen)  # type: ignore[arg-type]


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
