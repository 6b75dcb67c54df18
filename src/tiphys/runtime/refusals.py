"""
Commands that crun could not start, told as a shell would: a line of error and the code 127 (no such program) or 126.

crun's own complaints go to a log file, so that they are never taken for the command's words. They come when the
streams are long connected: so they are an output and an exit code like any other, which `kubectl exec` shows and passes
on to scripts, and not a failure to execute.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.runtime.monitor import reason_of

NOT_FOUND, NOT_EXECUTABLE = 127, 126
_MISSING = ("not found", "No such file or directory")
_FORBIDDEN = ("Permission denied", "Operation not permitted", "Is a directory", "Exec format error")


@dataclass(frozen=True, slots=True)
class Refusal:
    """`text` is one line, without its end."""

    code: int
    text: str


def read_refusal(log: Path, command: Sequence[str]) -> Refusal | None:
    """What crun wrote about a command, if anything."""
    try:
        message = log.read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    return refusal_of(reason_of(message), command) if message else None


def refusal_of(reason: str, command: Sequence[str]) -> Refusal:
    """The words in which users know it from Kubernetes' runtimes."""
    program = command[0] if command else ""
    if any(word in reason for word in _MISSING):
        bare = f'exec: "{program}": executable file not found in $PATH'
        why, code = bare if "/" not in program else f'exec: "{program}": no such file or directory', NOT_FOUND
    elif any(word in reason for word in _FORBIDDEN):
        why, code = f'exec: "{program}": permission denied', NOT_EXECUTABLE
    else:
        why, code = reason, NOT_EXECUTABLE
    return Refusal(code, f"OCI runtime exec failed: exec failed: unable to start container process: {why}")


class Refused:
    """A Process that never was: its line of error on the terminal that was asked for, and its code."""

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal

    async def write(self, data: bytes) -> None:
        """Nobody reads."""

    async def close_input(self) -> None:
        """There is none."""

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        yield 1, f"{self._refusal.text}\r\n".encode()

    async def resize(self, columns: int, rows: int) -> None:
        """There is no terminal."""

    async def wait(self) -> int:
        return self._refusal.code

    async def kill(self) -> None:
        """It is dead."""

    def close(self) -> None:
        """Nothing is held."""
