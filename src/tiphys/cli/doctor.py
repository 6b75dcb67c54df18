"""`tiphys doctor`: is this machine fit for a node, and if not, what cures it."""

from __future__ import annotations

import argparse
import subprocess

from tiphys.cli import options as shared
from tiphys.cli.main import UsageError
from tiphys.cluster import doctor


def add_arguments(sub: argparse.ArgumentParser) -> None:
    shared.add_place(sub)
    sub.add_argument("--fix", action="store_true", help="install the system packages that are missing (apt)")


def run(options: argparse.Namespace) -> int:
    if options.fix:
        _fix()
    settings = shared.settings(options)
    worst = 0
    for check in doctor.examine(settings):
        cure = f" → {check.cure}" if check.cure else ""
        print(f"{check.state:4}  {check.name}: {check.found}{cure}")
        worst = max(worst, 1 if check.state == doctor.FAIL else 0)
    return worst


def _fix() -> None:
    missing = [*doctor.missing_packages(), *doctor.optional_packages()]
    if not missing:
        return
    shared.need_root("installing packages")
    try:
        doctor.install(missing)
    except FileNotFoundError:
        raise UsageError(f"there is no apt here: install {' '.join(missing)} by your system's means") from None
    except subprocess.CalledProcessError as error:
        raise UsageError(f"apt failed (exit code {error.returncode}): install {' '.join(missing)} by hand") from None
