"""`tiphys image`: the images of this machine."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from tiphys.cli import options as shared
from tiphys.cli.main import UsageError
from tiphys.cluster.settings import Settings

ACTIONS = {
    "ls": "list the images",
    "pull": "bring an image from its registry",
    "load": "unpack a docker or OCI archive (`docker save`, `buildah push oci-archive:`)",
    "rm": "remove an image that nothing uses",
}


def add_arguments(sub: argparse.ArgumentParser) -> None:
    shared.add_place(sub)
    actions = sub.add_subparsers(dest="action", metavar="ACTION", required=True)
    made = {name: actions.add_parser(name, help=text) for name, text in ACTIONS.items()}
    for action in made.values():  # the place may be said after the action too
        shared.add_place(action, argparse.SUPPRESS)
    for name in ("pull", "rm"):
        made[name].add_argument("image", metavar="IMAGE")
    made["load"].add_argument("archive", type=Path, metavar="ARCHIVE")


def run(options: argparse.Namespace) -> int:
    shared.need_root("the image store")
    from tiphys.runtime.door import RuntimeFailure

    settings = shared.settings(options)
    try:
        asyncio.run(_act(settings, options))
    except RuntimeFailure as error:
        raise UsageError(str(error)) from None
    return 0


async def _act(settings: Settings, options: argparse.Namespace) -> None:
    from tiphys.cluster import images

    with images.opened(settings) as store:
        if options.action == "ls":
            for image in store.all():
                for name in image.names or ("<none>",):
                    print(f"{name}\t{image.id.removeprefix('sha256:')[:12]}\t{image.size_bytes / 1e6:.1f} MB")
        elif options.action == "pull":
            print((await store.pull(options.image)).id)
        elif options.action == "rm":
            await store.remove(options.image)
        else:
            if not options.archive.is_file():
                raise UsageError(f"there is no file {options.archive}")
            for image in await store.load(str(options.archive.resolve())):
                print(*image.names, sep="\n")
