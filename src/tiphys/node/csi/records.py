"""
Which volumes drivers hold for us, on disk: written before a driver is asked to mount, removed when it has unmounted.

So a crash at any moment leaves a record of what may be mounted, and asking to unmount twice is harmless. One file for
each pod and volume below the pod's directory, one for each volume that was staged below that of the drivers.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "vol_data.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """`path` is what the driver was told; `attachable` volumes are told of in the node's status."""

    driver: str
    handle: str
    path: str
    attachable: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.driver, self.handle


def write(directory: Path, record: Record) -> None:
    """All or nothing, also over a loss of power."""
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f".{FILE}.new"
    with fresh.open("w") as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / FILE)


def read(directory: Path) -> Record | None:
    """None where nothing was written, or by somebody else."""
    try:
        return Record(**json.loads((directory / FILE).read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        log.warning("%s cannot be read: %s", directory / FILE, error)
        return None


def remove(directory: Path) -> None:
    (directory / FILE).unlink(missing_ok=True)


def of_pod(pod_dir: Path) -> dict[Path, Record]:
    """By directory."""
    folders = (pod_dir / "volumes" / "kubernetes.io~csi", pod_dir / "volumeDevices" / "kubernetes.io~csi")
    return _below(one for folder in folders if folder.is_dir() for one in folder.iterdir())


def of_pods(pods_dir: Path) -> dict[Path, Record]:
    if not pods_dir.is_dir():
        return {}
    return {where: record for pod_dir in pods_dir.iterdir() for where, record in of_pod(pod_dir).items()}


def staged(root: Path) -> dict[Path, Record]:
    """The volumes that were set up for the node as a whole."""
    if not root.is_dir():
        return {}
    return _below(one for driver in root.iterdir() if driver.is_dir() for one in driver.iterdir())


def _below(directories: Iterable[Path]) -> dict[Path, Record]:
    found = ((directory, read(directory)) for directory in directories if directory.is_dir())
    return {directory: record for directory, record in found if record is not None}
