"""How full volumes are, as their drivers say: of some the file system that shows would tell something else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tiphys.aio.clock import Clock
from tiphys.node.csi import abilities
from tiphys.node.csi.records import Record
from tiphys.node.server.readings import FileSystem

if TYPE_CHECKING:
    from tiphys.node.csi.driver import Driver

# As often as the kubelet asks.
KEPT_SECONDS = 60.0
BYTES, INODES = 1, 2

log = logging.getLogger(__name__)


class Stats:
    """Answers are kept for a while: dashboards ask each second."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._known: dict[str, tuple[float, FileSystem | None]] = {}

    async def of(self, driver: Driver, record: Record) -> FileSystem | None:
        """None where the driver does not say."""
        from tiphys.wire.grpc import RpcError

        if not driver.can(abilities.CAN_GET_STATS):
            return None
        at, found = self._known.get(record.path, (0.0, None))
        if not at or self._now() - at >= KEPT_SECONDS:
            try:
                told = await driver.stats(record.handle, record.path)
            except RpcError as error:
                log.info("driver %s does not say how full %s is: %s", record.driver, record.path, error)
                found = None
            else:
                found = _read(told["usage"])
            self._known[record.path] = self._now(), found
        return found

    def forget(self, path: str) -> None:
        self._known.pop(path, None)


def _read(usages: list[dict[str, int]]) -> FileSystem | None:
    by_unit = {usage["unit"]: usage for usage in usages}
    room, inodes = by_unit.get(BYTES), by_unit.get(INODES) or {}
    if room is None:
        return None
    left = inodes.get("available", 0)
    return FileSystem(room["total"], room["available"], room["used"], inodes.get("total", 0), left)
