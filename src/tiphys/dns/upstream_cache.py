"""
What upstream servers said, for as long as they said it holds (and never long), within a bound of bytes.

Answers that a name or a type does not exist are kept too, for the TTL of the SOA that came with them.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass

from tiphys.dns import message
from tiphys.dns.message import Malformed

SECONDS_MAX = 30
BYTES_MAX = 4 * 1024 * 1024
ANSWER_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class _Kept:
    data: bytes
    ttls: list[tuple[int, int]]
    at: float
    until: float


class UpstreamCache:
    """Times are those of one monotonic clock."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def get(self, key: bytes, now: float) -> bytes | None:
        """The answer with its TTLs as they are now."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until <= now:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        age = int(now - kept.at)
        if not age:
            return kept.data
        data = bytearray(kept.data)
        for offset, seconds in kept.ttls:
            struct.pack_into(">I", data, offset, max(seconds - age, 0))
        return bytes(data)

    def put(self, key: bytes, data: bytes, now: float, failure_seconds: float = 0.0) -> None:
        """`failure_seconds` is for our own word that there is no answer, which holds no TTL."""
        seconds, ttls = (failure_seconds, []) if failure_seconds else lifetime(data)
        if seconds <= 0 or len(data) > ANSWER_BYTES_MAX:
            return
        if key in self._kept:
            self._drop(key)
        self._kept[key] = _Kept(data, ttls, now, now + seconds)
        self._bytes += len(key) + len(data)
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        self._bytes -= len(key) + len(self._kept.pop(key).data)


def lifetime(data: bytes) -> tuple[float, list[tuple[int, int]]]:
    """For how many seconds an answer may be kept (0: not at all), and where its TTLs are."""
    if message.code_of(data) not in (message.NOERROR, message.NXDOMAIN) or message.is_truncated(data):
        return 0, []
    try:
        ttls = message.ttl_offsets(data)
    except Malformed:
        return 0, []
    # Without any record (so without an SOA) nobody said for how long it is true that there is nothing.
    return min((SECONDS_MAX, *(seconds for _, seconds in ttls))) if ttls else 0, ttls
