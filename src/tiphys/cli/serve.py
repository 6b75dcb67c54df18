"""`tiphys serve`: the server in the foreground, for people who test against an API and for `tiphys up` itself."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import tempfile
from pathlib import Path

from tiphys.cli import options as shared
from tiphys.cli.main import UsageError
from tiphys.cluster.failures import CannotServe
from tiphys.cluster.process import Progress
from tiphys.cluster.settings import DATA_DIR, Settings


def add_arguments(sub: argparse.ArgumentParser) -> None:
    shared.add_place(sub)
    shared.add_network(sub)
    sub.add_argument("--memory", action="store_true", help="keep everything in memory; nothing survives a stop")
    sub.add_argument("--kubeconfig", type=Path, metavar="FILE", help="write an admin's kubeconfig there when ready")
    sub.add_argument("--token-file", type=Path, metavar="FILE", help='static tokens: token,user,uid,"group,group"')
    sub.add_argument("--no-node", action="store_true", help="no node agent: the API and the controllers alone")
    sub.add_argument("--no-controllers", action="store_true", help="no controllers and no scheduler: the bare API")
    sub.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    sub.add_argument("--progress-fd", type=int, metavar="N", help="tell each step as a line of JSON on this descriptor")


def run(options: argparse.Namespace) -> int:
    if not options.no_node:
        shared.need_root("a node")
    if options.token_file is not None and not options.token_file.is_file():
        raise UsageError(f"the token file {options.token_file} does not exist")
    if options.memory and options.data_dir == DATA_DIR:
        with tempfile.TemporaryDirectory(prefix="tiphys-") as directory:
            options.data_dir = Path(directory)
            settings = dataclasses.replace(_settings(options), run_dir=Path(directory) / "run")
            return _serve(settings, options)
    return _serve(_settings(options), options)


def _settings(options: argparse.Namespace) -> Settings:
    return dataclasses.replace(
        shared.settings(options),
        run_node=not options.no_node,
        run_controllers=not options.no_controllers,
        kubeconfig=options.kubeconfig,
        token_file=options.token_file,
    )


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    from tiphys.cluster.server import serve
    from tiphys.observe import logs

    logs.configure(options.log_level)
    progress = Progress(options.progress_fd)
    try:
        asyncio.run(serve(settings, progress))
    except CannotServe as error:
        raise UsageError(str(error)) from None
    except PermissionError as error:
        raise UsageError(f"{error.filename}: permission denied; choose another place with --data-dir") from None
    finally:
        progress.close()
    return 0
