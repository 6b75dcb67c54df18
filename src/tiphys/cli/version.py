"""`tiphys version`: ours, and the Kubernetes version whose API is spoken."""

from __future__ import annotations

import argparse

from tiphys import __version__

KUBERNETES = "v1.36"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """No options."""


def run(options: argparse.Namespace) -> int:
    print(f"tiphys {__version__} (Kubernetes API {KUBERNETES})")
    return 0
