"""The upstream servers that the host names in resolv.conf."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Collection
from pathlib import Path

Server = tuple[str, int]
PORT = 53
SERVERS_MAX = 3

log = logging.getLogger(__name__)


class ResolvConf:
    """Read again when the file has changed. `own` are addresses at which we answer ourselves: asking them is a loop."""

    def __init__(self, path: Path, own: Collection[str]) -> None:
        self._path = path
        self._own = own
        self._stamp: tuple[int, int] | None = None
        self._servers: list[Server] = []

    def servers(self) -> list[Server]:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                self._servers = parse(self._path.read_text(errors="replace"), self._own)
                self._stamp = stamp
                if not self._servers:
                    log.warning("%s names no upstream DNS server that is not this one", self._path)
        except OSError as error:
            if self._stamp is not None or not self._servers:
                log.debug("%s cannot be read: %s", self._path, error)
        return self._servers


def parse(text: str, own: Collection[str]) -> list[Server]:
    found: list[Server] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            address = words[1]
            try:
                ipaddress.ip_address(address.partition("%")[0])
            except ValueError:
                continue
            if address not in own and (address, PORT) not in found:
                found.append((address, PORT))
    return found[:SERVERS_MAX]
