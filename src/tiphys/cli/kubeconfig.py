"""`tiphys kubeconfig`: print an administrator's kubeconfig to standard output."""

from __future__ import annotations

import argparse

from tiphys.cli import options as shared
from tiphys.cli.main import UsageError


def add_arguments(sub: argparse.ArgumentParser) -> None:
    shared.add_place(sub)


def run(options: argparse.Namespace) -> int:
    settings = shared.settings(options)
    try:
        print(settings.admin_kubeconfig.read_text(), end="")
    except FileNotFoundError:
        raise UsageError(f"there is no cluster in {options.data_dir}: start one with `tiphys up`") from None
    except PermissionError:
        raise UsageError(f"{settings.admin_kubeconfig} is the administrator's: run it with sudo") from None
    return 0
