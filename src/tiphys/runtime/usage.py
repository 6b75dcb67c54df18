"""
What a control group uses now, read from few files and parsed where they are.

Somebody may look at a hundred pods each second: a brief look takes two or three files of a group (processor time and
memory), a whole one all that the kernel counts. Files are read without Path and without text decoding, which cost more
than the kernel does. Each function blocks for some ten microseconds: call it in a worker thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace

from tiphys.runtime.door import Usage

FILE_BYTES_MAX = 16384
_UNLIMITED = 1 << 62
Pressure = Mapping[str, Mapping[str, float]]


def of_v2(directory: str, *, brief: bool = False) -> Usage | None:
    """The usage of a group of version 2; None when it is gone."""
    cpu = _read(f"{directory}/cpu.stat")
    if not cpu:
        return None
    memory = b"\n" + _read(f"{directory}/memory.stat")
    used = _number(f"{directory}/memory.current")
    seen = Usage(
        cpu_ns=_field(b"\n" + cpu, b"usage_usec") * 1000,
        memory_working_set_bytes=max(used - _field(memory, b"inactive_file"), 0),
        memory_rss_bytes=_field(memory, b"anon"),
        pids=0,
        at=time.time(),
        memory_usage_bytes=used,
    )
    if brief:
        return seen
    return replace(
        seen,
        pids=_number(f"{directory}/pids.current"),
        memory_cache_bytes=_field(memory, b"file"),
        memory_limit_bytes=_limit(f"{directory}/memory.max"),
        page_faults=_field(memory, b"pgfault"),
        major_page_faults=_field(memory, b"pgmajfault"),
        swap_bytes=_number(f"{directory}/memory.swap.current"),
        periods=_field(cpu, b"nr_periods"),
        throttled_periods=_field(cpu, b"nr_throttled"),
        throttled_ns=_field(cpu, b"throttled_usec") * 1000,
        pressure={
            kind: found for kind in ("cpu", "memory", "io") if (found := pressure(f"{directory}/{kind}.pressure"))
        },
    )


def of_v1(cpu: str, memory: str, pids: str, *, brief: bool = False) -> Usage | None:
    """The same with version 1: the group's directory for each controller, "" where there is none."""
    time_used = _read(f"{cpu}/cpuacct.usage") if cpu else b"0"
    if not time_used:
        return None
    stat = b"\n" + _read(f"{memory}/memory.stat") if memory else b""
    used = _number(f"{memory}/memory.usage_in_bytes") if memory else 0
    seen = Usage(
        cpu_ns=int(time_used),
        memory_working_set_bytes=max(used - _field(stat, b"total_inactive_file"), 0),
        memory_rss_bytes=_field(stat, b"total_rss"),
        pids=0,
        at=time.time(),
        memory_usage_bytes=used,
    )
    if brief:
        return seen
    throttling = b"\n" + _read(f"{cpu}/cpu.stat") if cpu else b""
    return replace(
        seen,
        pids=_number(f"{pids}/pids.current") if pids else 0,
        memory_cache_bytes=_field(stat, b"total_cache"),
        memory_limit_bytes=_limit(f"{memory}/memory.limit_in_bytes") if memory else 0,
        page_faults=_field(stat, b"total_pgfault"),
        major_page_faults=_field(stat, b"total_pgmajfault"),
        swap_bytes=_field(stat, b"total_swap"),
        periods=_field(throttling, b"nr_periods"),
        throttled_periods=_field(throttling, b"nr_throttled"),
        throttled_ns=_field(throttling, b"throttled_time"),
    )


def pressure(path: str) -> Pressure:
    """What a pressure file says: {"some": {"avg10": …, "total": …}, "full": …}; {} where the kernel has none."""
    found: dict[str, dict[str, float]] = {}
    for line in _read(path).decode("ascii").splitlines():
        kind, *pairs = line.split()
        found[kind] = {name: float(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    return found


def _read(path: str) -> bytes:
    """A file of the kernel's; b"" when it is not there (any more) or refuses."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, FILE_BYTES_MAX)
    except OSError:  # the group has gone since; or its pressure is not accounted
        return b""
    finally:
        os.close(descriptor)


def _number(path: str) -> int:
    return int(_read(path) or 0)


def _limit(path: str) -> int:
    """A limit in bytes; 0 for none."""
    text = _read(path).strip()
    number = int(text) if text.isdigit() else 0
    return number if number < _UNLIMITED else 0


def _field(table: bytes, name: bytes) -> int:
    """The number behind a name at the beginning of a line; 0 where there is none."""
    start = table.find(b"\n" + name + b" ")
    if start < 0:
        return 0
    start += len(name) + 2
    return int(table[start : table.find(b"\n", start)])
