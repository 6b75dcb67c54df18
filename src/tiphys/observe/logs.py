"""
Logs: one line each to standard error or a file, `time level room message`.

Every room uses `logging.getLogger(__name__)`; only the composition root calls `configure`. Secrets, tokens and bodies
never go into a message.
"""

from __future__ import annotations

import logging
import logging.handlers
import time
from pathlib import Path

FILE_BYTES_MAX = 20 * 1024 * 1024
FILES_KEPT = 3


class _Line(logging.Formatter):
    """Exceptions keep their traceback, indented, so that a line that starts with a time is always a new entry."""

    converter = time.gmtime  # type: ignore[assignment]
    default_msec_format = "%s.%03dZ"
    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", "\n    ")


def configure(level: str = "info", path: Path | None = None) -> None:
    """Send the logs of the whole process to `path` (rotated), or to standard error."""
    handler: logging.Handler = logging.StreamHandler()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT)
    handler.setFormatter(_Line("%(asctime)s %(levelname).1s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
