"""
One at a time, machine-wide, changes real links, rules, mounts or cgroups: a file lock between processes.

Within one process it is re-entrant, so that a test, its fixtures and what they build may each insist on it.
"""

import fcntl
from contextlib import contextmanager
from pathlib import Path

PATH = Path("/run/tiphys-tests.lock")


class MachineLock:
    """Held while somebody in this process holds it."""

    def __init__(self, path=PATH):
        self._path, self._holders, self._file = path, 0, None

    def take(self):
        """Wait for other processes as long as they need."""
        if self._holders == 0:
            self._file = self._path.open("w")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._holders += 1

    def give(self):
        self._holders -= 1
        if self._holders == 0:
            self._file.close()

    @contextmanager
    def held(self):
        self.take()
        try:
            yield
        finally:
            self.give()


lock = MachineLock()
