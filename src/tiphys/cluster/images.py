"""The images of this machine, for the command: the same store that the node uses, whether or not a server runs."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tiphys.cluster import node
from tiphys.cluster.settings import Settings
from tiphys.runtime import records
from tiphys.runtime.containers import RECORD
from tiphys.runtime.door import Image, ImageInUse, ImageMissing
from tiphys.runtime.images import Images
from tiphys.runtime.settings import RuntimeSettings
from tiphys.runtime.storage import Storage


class ImageStore:
    """Made by `opened`."""

    def __init__(self, settings: RuntimeSettings, own: RuntimeSettings) -> None:
        self._settings = settings
        self._storage = Storage(settings.storage_root)
        self._images = Images(own, self._storage)

    def prepare(self) -> None:
        """Write what pulls need."""
        self._images.prepare()

    def all(self) -> Sequence[Image]:
        return [stored.image for stored in self._storage.all()]

    async def pull(self, reference: str) -> Image:
        return await self._images.pull(reference, ())

    async def load(self, path: str) -> Sequence[Image]:
        return await self._images.load(path)

    async def remove(self, reference: str) -> None:
        """ImageMissing if it is not here, ImageInUse if a container was made of it."""
        found = self._storage.find(reference)
        if found is None:
            raise ImageMissing(f"there is no image {reference} on this machine")
        for directory in self._settings.containers_dir.glob("*"):
            raw = records.read(directory / RECORD) or {}
            if raw.get("image_id") == found.image.id:
                raise ImageInUse(f"image {reference} is used by container {directory.name}")
        await self._images.remove(found.image)


@contextmanager
def opened(settings: Settings) -> Iterator[ImageStore]:
    """The store; what pulls need lies in a directory of this process, so that a running server is not disturbed."""
    theirs = node.runtime_settings(settings)
    own = dataclasses.replace(
        theirs, run_dir=settings.run_dir.with_name(f"{settings.run_dir.name}-image-{os.getpid()}")
    )
    own.run_dir.mkdir(parents=True, mode=0o700)
    try:
        store = ImageStore(theirs, own)
        store.prepare()
        yield store
    finally:
        shutil.rmtree(own.run_dir)
