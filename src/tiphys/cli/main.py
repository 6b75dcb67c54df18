"""
The command `tiphys`: parse, hand over to one file per sub-command, and turn failures into one line.

Sub-commands are imported when they are asked for, so `tiphys version` stays instant.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence


class UsageError(Exception):
    """The user asked for something that cannot be done; the message says what to do instead."""


COMMANDS = {
    "up": "start a one-node cluster and wait until it is Ready",
    "down": "stop the cluster and its containers; --purge removes every trace",
    "status": "say what runs",
    "doctor": "check this machine; --fix installs what is missing",
    "kubeconfig": "print a kubeconfig to standard output",
    "image": "list, pull, load and remove images",
    "serve": "run the server in the foreground",
    "version": "print the version",
}


def parser(asked: str = "") -> argparse.ArgumentParser:
    """The command line: every sub-command by name, and the options of the one that is asked for."""
    top = argparse.ArgumentParser(
        prog="tiphys",
        description="A container orchestrator that speaks the Kubernetes API.",
        epilog="Then use kubectl: `kubectl get nodes`. Each command explains itself with --help.",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == asked:
            importlib.import_module(f"tiphys.cli.{name}").add_arguments(sub)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    asked = next((argument for argument in given if not argument.startswith("-")), "")
    options = parser(asked).parse_args(given)
    module = importlib.import_module(f"tiphys.cli.{options.command}")
    try:
        return int(module.run(options))
    except UsageError as error:
        print(f"tiphys {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `tiphys … | head`
        return 0
