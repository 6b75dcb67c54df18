"""
Run the claims that are named, or all of them, and print each figure beside what is claimed.

A claim is a folder with a `measure.py` that has `measure() -> list[Figure]`. They run one after another: two at once
would measure each other. Nothing fails here, also where a figure misses its claim: a machine that is busy with other
things says nothing about the code.
"""

import importlib
import os
import sys
from pathlib import Path

from benchmarks.frame import HEADING, Figure

FOLDER = Path(__file__).parent


def claims() -> list[str]:
    """The names of all claims."""
    return sorted(path.parent.name for path in FOLDER.glob("*/measure.py"))


def main(names: list[str]) -> int:
    known = claims()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no claim called {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n{HEADING}", flush=True)
    for name in names or known:
        figures: list[Figure] = importlib.import_module(f"benchmarks.{name}.measure").measure()
        for figure in figures:
            print(figure.line(), flush=True)
    return 0


sys.exit(main(sys.argv[1:]))
