"""Which OCI runtime is there: what `kubectl get nodes -o wide` shows."""

from __future__ import annotations

import subprocess


def runtime_version() -> str:
    """`crun://1.8.1`; without a number if crun does not say it."""
    told = subprocess.run(["crun", "--version"], capture_output=True, text=True, check=False).stdout
    words = told.splitlines()[0].split() if told else []
    return f"crun://{words[-1]}" if words else "crun"
