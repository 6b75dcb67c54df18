"""
Kubeconfig files: how clients find the cluster and who they are there.

`merge` adds a context to a file that may hold others of other clusters. What has another name is not touched, and a
name that another cluster has taken is left to it: ours then gets a number.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiphys.pki import files
from tiphys.pki.authority import KeyPair

NAMES_MAX = 100


class KubeconfigDamaged(ValueError):
    """The file is no kubeconfig; it was left as it is."""


@dataclass(frozen=True, slots=True)
class Access:
    """One cluster as one user: by client certificate or by token."""

    name: str
    server: str
    authorities: bytes  # PEM bundle
    pair: KeyPair | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    namespace: str = ""


def build(access: Access) -> dict[str, Any]:
    """A whole kubeconfig with one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": access.name, "cluster": _cluster(access)}],
        "users": [{"name": access.name, "user": _user(access)}],
        "contexts": [{"name": access.name, "context": _context(access, access.name)}],
        "current-context": access.name,
    }


def to_text(config: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(config, sort_keys=False, default_flow_style=False)


def write(path: Path, access: Access) -> None:
    """A file of its own."""
    files.write(path, to_text(build(access)).encode())


def merge(path: Path, access: Access) -> str:
    """
    Add or refresh our context in the file at `path` (made if missing) and give the name it has there.

    It becomes the current context only if there is none, or if ours already was. Raises KubeconfigDamaged.
    """
    config = read(path)
    name = _free_name(config, access)
    _put(config, "clusters", "cluster", name, _cluster(access))
    _put(config, "users", "user", name, _user(access))
    _put(config, "contexts", "context", name, _context(access, name))
    if not config.get("current-context"):
        config["current-context"] = name
    files.write(path, to_text(config).encode())
    return name


def remove(path: Path, access: Access) -> bool:
    """Take our context out again; False if it was not there."""
    if not path.exists():
        return False
    config = read(path)
    ours = [name for name in _names(access) if _is_ours(config, name, access)]
    if not ours:
        return False
    for kind in ("clusters", "users", "contexts"):
        config[kind] = [entry for entry in config[kind] if entry.get("name") not in ours]
    if config.get("current-context") in ours:
        config["current-context"] = ""
    files.write(path, to_text(config).encode())
    return True


def read(path: Path) -> dict[str, Any]:
    """The file as it is, with its three lists; an empty kubeconfig if there is no file or nothing in it."""
    import yaml

    empty: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
    text = path.read_text() if path.exists() else ""
    try:
        config = yaml.safe_load(text) or empty
    except yaml.YAMLError as error:
        raise KubeconfigDamaged(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(config, dict):
        raise KubeconfigDamaged(f"{path} is not a kubeconfig")
    for kind in ("clusters", "users", "contexts"):
        config[kind] = config.get(kind) or []
        if not isinstance(config[kind], list) or not all(isinstance(entry, dict) for entry in config[kind]):
            raise KubeconfigDamaged(f"{path}: {kind} is not a list of entries")
    return config


def _names(access: Access) -> list[str]:
    return [access.name, *(f"{access.name}-{number}" for number in range(2, NAMES_MAX))]


def _free_name(config: dict[str, Any], access: Access) -> str:
    """The first name that is ours already or that nobody uses."""
    for name in _names(access):
        taken = any(_find(config, kind, name) is not None for kind in ("clusters", "users", "contexts"))
        if not taken or _is_ours(config, name, access):
            return name
    raise KubeconfigDamaged(f"every name from {access.name} to {access.name}-{NAMES_MAX - 1} is taken")


def _is_ours(config: dict[str, Any], name: str, access: Access) -> bool:
    """Same authority: the same cluster. Same address: the cluster that was there before us, and is no more."""
    entry = _find(config, "clusters", name)
    cluster = entry.get("cluster") if entry else None
    if not isinstance(cluster, dict):
        return False
    return (
        cluster.get("certificate-authority-data") == _text(access.authorities) or cluster.get("server") == access.server
    )


def _find(config: dict[str, Any], kind: str, name: str) -> dict[str, Any] | None:
    return next((entry for entry in config[kind] if entry.get("name") == name), None)


def _put(config: dict[str, Any], kind: str, field_name: str, name: str, value: dict[str, Any]) -> None:
    entry = _find(config, kind, name)
    if entry is None:
        config[kind].append({"name": name, field_name: value})
    else:
        entry[field_name] = value


def _cluster(access: Access) -> dict[str, Any]:
    return {"server": access.server, "certificate-authority-data": _text(access.authorities)}


def _user(access: Access) -> dict[str, Any]:
    if access.pair is None:
        return {"token": access.token}
    return {
        "client-certificate-data": _text(access.pair.certificate),
        "client-key-data": _text(access.pair.key),
    }


def _context(access: Access, name: str) -> dict[str, Any]:
    context = {"cluster": name, "user": name}
    if access.namespace:
        context["namespace"] = access.namespace
    return context


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
