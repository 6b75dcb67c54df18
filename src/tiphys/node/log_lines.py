"""
The CRI log format and what `kubectl logs` asks of it. Pure.

A line is `2027-01-15T08:00:00.123456789Z stdout F text\\n`; tag P marks a part of a long line, F its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tiphys.api.objects import parse_timestamp


@dataclass(frozen=True, slots=True)
class LogOptions:
    """As PodLogOptions; `since` is a Unix time (0.0 is the beginning), `tail` and `limit_bytes` -1 are no limit."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: float = 0.0
    tail: int = -1
    limit_bytes: int = -1
    stream: str = ""  # "", "stdout" or "stderr"


@dataclass(frozen=True, slots=True)
class LogLine:
    """`text` ends with a newline unless it is a part of a longer line."""

    time: bytes
    stream: str
    text: bytes

    @property
    def at(self) -> float:
        return parse_time(self.time)


def parse_time(time: bytes) -> float:
    """RFC 3339 with nanoseconds; 0.0 when it is none, so that a damaged line is never hidden."""
    head, point, rest = time.decode("ascii", "replace").partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    try:
        whole = parse_timestamp(head + rest[digits:]) if point else parse_timestamp(head)
    except ValueError:
        return 0.0
    return whole + (int(rest[:digits]) / 10**digits if digits else 0.0)


def parse(line: bytes) -> LogLine | None:
    """One line of a log file (with its newline); None when it is damaged."""
    parts = line.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    text = parts[3]
    if parts[2] == b"P":
        text = text.removesuffix(b"\n")
    # The monitor spells UTC as an offset of nothing, Kubernetes as Z.
    time = parts[0].removesuffix(b"+00:00") + b"Z" if parts[0].endswith(b"+00:00") else parts[0]
    return LogLine(time, parts[1].decode(), text)


class Printer:
    """Turns log lines into the bytes that a client gets; keeps count of the limit."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._continues = {"stdout": False, "stderr": False}

    @property
    def is_full(self) -> bool:
        return self._left == 0

    def shown(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The output of some lines of a file."""
        for raw in lines:
            if self.is_full:
                return
            line = parse(raw)
            if line is not None and self._wanted(line):
                yield self._cut(self._stamped(line))

    def _wanted(self, line: LogLine) -> bool:
        options = self._options
        if options.stream and line.stream != options.stream:
            return False
        return not options.since or line.at >= options.since

    def _stamped(self, line: LogLine) -> bytes:
        first = not self._continues[line.stream]
        self._continues[line.stream] = not line.text.endswith(b"\n")
        return line.time + b" " + line.text if self._options.timestamps and first else line.text

    def _cut(self, data: bytes) -> bytes:
        if self._left >= 0:
            data = data[: self._left]
            self._left -= len(data)
        return data
