"""
Lease files: what a restart needs to know of the leases in use.

One file a lease, written to a temporary name and renamed, so a file is whole or absent. It is written before a lease
is handed out and removed as the last act of giving it back. No fsync: the namespaces end with the kernel that a power
failure ends, so a file has to survive this process only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tiphys.network.door import Lease, PortForward

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """`id` names the files and the pinned namespace."""

    id: str
    lease: Lease
    ports: tuple[PortForward, ...] = ()


class LeaseFiles:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, record: LeaseRecord) -> None:
        path = self._path(record.id)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(record)))
        temporary.rename(path)

    def remove(self, identifier: str) -> None:
        self._path(identifier).unlink(missing_ok=True)

    def load(self) -> Iterator[LeaseRecord]:
        """Every whole file; the rest of an interrupted write is removed."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._directory.iterdir()):
            record = _parse(path) if path.suffix == ".json" else None
            if record is None:
                log.warning("removing %s: it is no lease", path)
                path.unlink(missing_ok=True)
            else:
                yield record

    def purge(self) -> None:
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                path.unlink(missing_ok=True)
            self._directory.rmdir()

    def _path(self, identifier: str) -> Path:
        return self._directory / f"{identifier}.json"


def _parse(path: Path) -> LeaseRecord | None:
    try:
        data = json.loads(path.read_text())
        ports = tuple(PortForward(**port) for port in data["ports"])
        return LeaseRecord(data["id"], Lease(**data["lease"]), ports)
    except (ValueError, TypeError, KeyError):
        return None
