"""`tiphys down`: stop the cluster; with --purge, remove every trace of it."""

from __future__ import annotations

import argparse
import asyncio

from tiphys.cli import options as shared
from tiphys.cli.main import UsageError
from tiphys.cluster import process


def add_arguments(sub: argparse.ArgumentParser) -> None:
    shared.add_place(sub)
    shared.add_user_kubeconfig(sub)
    sub.add_argument("--purge", action="store_true", help="remove everything: data, rules, links, images it brought")


def run(options: argparse.Namespace) -> int:
    shared.need_root("stopping containers")
    settings = shared.saved_settings(options)
    if settings is None:
        print(f"there is no cluster in {options.data_dir}")
        return 0
    try:
        # What is to be removed has no last words to say.
        grace = () if options.purge or not settings.shutdown_grace else (settings.shutdown_grace,)
        stopped = process.stop(settings.pid_file, *grace)
    except TimeoutError as error:
        raise UsageError(str(error)) from None
    from tiphys.cluster import teardown

    work = teardown.purge(settings, options.kubeconfig) if options.purge else teardown.stop(settings)
    count = asyncio.run(work)
    print(f"{'server stopped' if stopped else 'no server ran'}; {count} containers ended")
    if options.purge:
        print(f"everything of {settings.data_dir} is removed")
    return 0
