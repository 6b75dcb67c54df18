"""
What is kept on disk about sandboxes and containers: one JSON file each, written whole or not at all.

They are run-state: a reboot ends every process, so nothing here needs to survive one and nothing is synced. A rename
is what survives `kill -9` of the writer.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any, TypeVar

from tiphys.runtime.door import ContainerSpec, Device, Mount, NotFound, Resources, SandboxSpec, Security

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


def verify_id(value: str) -> str:
    """Ids become names of files and of cgroups."""
    if not _ID.fullmatch(value):
        raise NotFound(f"no such id: {value!r} (letters, digits, '-', '_' and '.', at most 200)")
    return value


def write(path: Path, content: bytes) -> None:
    """All or nothing for every reader and for a crash of the writer."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def write_spec(path: Path, spec: ContainerSpec | SandboxSpec, **more: Any) -> None:
    write(path, json.dumps({"spec": dataclasses.asdict(spec), **more}).encode())


def read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def sandbox_spec(raw: dict[str, Any]) -> SandboxSpec:
    return SandboxSpec(**{**raw, "resources": Resources(**raw["resources"])})


def container_spec(raw: dict[str, Any]) -> ContainerSpec:
    shaped = {
        "command": tuple(raw["command"]),
        "args": tuple(raw["args"]),
        "env": tuple((name, value) for name, value in raw["env"]),
        "mounts": tuple(_tuples(Mount, mount) for mount in raw["mounts"]),
        "devices": tuple(Device(**device) for device in raw["devices"]),
        "resources": Resources(**raw["resources"]),
        "security": _tuples(Security, raw["security"]),
    }
    return ContainerSpec(**{**raw, **shaped})


def _tuples(shape: type[T], raw: dict[str, Any]) -> T:
    return shape(**{name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()})
