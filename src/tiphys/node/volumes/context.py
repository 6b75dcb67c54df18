"""What every kind of volume gets, gives and raises."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.aio.clock import Clock
from tiphys.node.environment import Sources
from tiphys.node.objects import Objects
from tiphys.node.settings import NodeSettings

Pod = Mapping[str, Any]
Volume = Mapping[str, Any]


class VolumeProblem(Exception):
    """A volume cannot be set up; the message is what the user is told, with what is missing."""


class NotProcessed(VolumeProblem):
    """A volume whose claim leads nowhere yet: worded as the kubelet words it before it tries to mount anything."""

    def __init__(self, volume: str, why: str) -> None:
        what = f"unmounted volumes=[{volume}], unattached volumes=[], failed to process volumes=[{volume}]"
        super().__init__(f"Unable to attach or mount volumes: {what}: {why}")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume that the node writes."""

    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Context:
    """The pod and what its volumes are made from. `sources` answers the downward API."""

    pod: Pod
    objects: Objects
    settings: NodeSettings
    sources: Sources
    now: Clock

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def fs_group(self) -> int | None:
        group = (self.pod["spec"].get("securityContext") or {}).get("fsGroup")
        return None if group is None else int(group)

    def directory(self, plugin: str, name: str) -> Path:
        """Where a volume lies on disk."""
        return self.settings.pods_dir / self.uid / "volumes" / f"kubernetes.io~{plugin}" / name

    def device(self, plugin: str, name: str) -> Path:
        """Where a volume that is a device shows."""
        return self.settings.pods_dir / self.uid / "volumeDevices" / f"kubernetes.io~{plugin}" / name

    def memory_directory(self, plugin: str, name: str) -> Path:
        """Where a volume lies that must not reach a disk."""
        return self.settings.memory_dir / self.uid / f"kubernetes.io~{plugin}" / name


def chown_group(path: Path, group: int | None, extra_mode: int) -> None:
    """Give a file or directory to fsGroup and let the group in."""
    if group is None:
        return
    os.chown(path, -1, group, follow_symlinks=False)
    path.chmod((path.stat().st_mode & 0o7777) | extra_mode)
