"""
The server as a process of its own: started detached, found again, stopped, with its progress told to who started it.

The pid file names pid and start time, so that a pid that was given to somebody else is never signalled. Progress comes
as lines `{"step": …, "seconds": …}` on a pipe; the pipe's end without a "ready" line means that the server gave up.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

READY = "ready"
# Allocations between two looks of the collector: requests leave few cycles behind, and each look walks over all that
# is young. The default of 700 took a fifth of the time of a write.
_COLLECT_EVERY = 20_000
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Step:
    """One line of progress; `seconds` since the start."""

    name: str
    seconds: float


class Progress:
    """The server's end: tells each step to the pipe it was given, if any."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._started = time.monotonic()

    def tell(self, name: str) -> None:
        if self._descriptor is None:
            return
        line = json.dumps({"step": name, "seconds": round(time.monotonic() - self._started, 3)}) + "\n"
        try:
            os.write(self._descriptor, line.encode())
        except BrokenPipeError:  # whoever started us has gone away; we go on
            self._descriptor = None
        if name == READY:
            self.close()

    def close(self) -> None:
        """Nothing more will be told."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def collect_seldom() -> None:
    """Let the garbage collector look less often; for processes that serve."""
    gc.set_threshold(_COLLECT_EVERY, 20, 20)


def settle() -> None:
    """The start is over: what it made (modules, schema, tables) stays, and is not walked over again."""
    gc.freeze()


def start(arguments: Sequence[str], errors: Path) -> Iterator[Step]:
    """Start `tiphys serve …` detached and give its steps; ends after "ready", or when the process gave up."""
    reading, writing = os.pipe()
    errors.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tiphys", "serve", *arguments, "--progress-fd", str(writing)]
    with errors.open("ab") as log, open(os.devnull, "rb") as nothing:
        subprocess.Popen(
            command, stdin=nothing, stdout=log, stderr=log, start_new_session=True, pass_fds=[writing], cwd="/"
        )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as lines:
        for line in lines:
            told = json.loads(line)
            yield Step(told["step"], told["seconds"])


def started_at(pid: int) -> str | None:
    """The kernel's start time of a process, which tells it from a later one with the same pid; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else fields[19]


def write_pid_file(path: Path) -> None:
    """Name this process as the one that serves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(f"{os.getpid()} {started_at(os.getpid())}\n")
    temporary.replace(path)


def running(path: Path) -> int | None:
    """The pid of the server that the pid file names, if it still runs."""
    try:
        pid, started = path.read_text().split()
    except FileNotFoundError:
        return None
    return int(pid) if started_at(int(pid)) == started else None


def stop(path: Path, grace_seconds: float = 0.0) -> bool:
    """
    SIGTERM, or SIGPWR where its pods have `grace_seconds` to end, and wait until it is gone, by its pidfd. False if
    none ran; TimeoutError if it does not end.
    """
    timeout_seconds = STOP_SECONDS + grace_seconds
    pid = running(path)
    if pid is None:
        return False
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGPWR if grace_seconds else signal.SIGTERM)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        if not poller.poll(timeout_seconds * 1000):
            raise TimeoutError(f"the server (pid {pid}) did not stop within {timeout_seconds:.0f} s")
    finally:
        os.close(descriptor)
    path.unlink(missing_ok=True)
    return True
