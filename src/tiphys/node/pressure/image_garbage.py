"""
Images that nobody needs any more, when the disk that holds them gets full.

Only images that this node's agent pulled are ever removed: what a user loaded or built on the machine cannot be
brought again from a registry. The longest unused go first, none that was used or brought within the last minutes.
What was pulled is written down, so that a restart forgets nothing; when an image was last used is not, and a restart
counts as a use.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tiphys.aio.clock import Clock
from tiphys.node.pressure.thresholds import Observation
from tiphys.runtime.door import Image, Runtime, RuntimeFailure

# The kubelet's: above the high share images go until the low one is reached.
HIGH_SHARE, LOW_SHARE = 0.85, 0.80
AGE_SECONDS_MIN = 120.0
# After a collection that freed too little, how long until the next.
RETRY_SECONDS = 300.0

log = logging.getLogger(__name__)


def excess(seen: Observation) -> int:
    """The bytes to free so that the low share is reached; 0 below the high one."""
    used = seen.capacity - seen.available
    return int(used - seen.capacity * LOW_SHARE) if used >= seen.capacity * HIGH_SHARE else 0


def unneeded(images: Iterable[Image], last_used: Mapping[str, float], now: float) -> list[Image]:
    """Those that may go, the longest unused first; `last_used` knows the images that are ours."""
    ours = [image for image in images if now - last_used.get(image.id, now) >= AGE_SECONDS_MIN]
    return sorted(ours, key=lambda image: (last_used[image.id], image.id))


class ImageGarbage:
    """Knows which images were pulled here, and frees what is asked."""

    def __init__(self, runtime: Runtime, path: Path, now: Clock) -> None:
        self._runtime = runtime
        self._path = path
        self._now = now
        self._last_used: dict[str, float] = {}
        self._not_before = 0.0

    def open(self) -> None:
        """Read what earlier agents pulled."""
        if self._path.exists():
            self._last_used = dict.fromkeys(json.loads(self._path.read_text()), self._now())

    def pulled(self, image: Image) -> None:
        """It was brought from a registry and was not here before."""
        self._last_used[image.id] = self._now()
        self._write()

    async def collect(self, seen: Observation, warn: Callable[[str, str], None]) -> int:
        """Free what is above the mark; the bytes freed. `warn` is told (reason, message) when it is too little."""
        wanted = excess(seen)
        if wanted <= 0 or self._now() < self._not_before:
            return 0
        freed = await self.free(wanted)
        if freed < wanted:
            self._not_before = self._now() + RETRY_SECONDS
            text = f"Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
            warn("FreeDiskSpaceFailed", f"Failed to garbage collect required amount of images. {text}")
        return freed

    async def free(self, wanted: int) -> int:
        """Remove images until that many bytes are free; the bytes that were."""
        used = {status.image_id for status in await self._runtime.containers() if status.image_id}
        now = self._now()
        self._last_used |= dict.fromkeys(used & self._last_used.keys(), now)
        images = await self._runtime.images()
        self._forget({image.id for image in images})
        freed = 0
        for image in unneeded(images, self._last_used, now):
            if freed >= wanted:
                break
            freed += await self._remove(image)
        return freed

    async def _remove(self, image: Image) -> int:
        try:
            await self._runtime.remove_image(image.id)
        except RuntimeFailure as error:
            log.warning("image %s is not needed and cannot be removed: %s", _shown(image), error)
            return 0
        log.info("removed image %s, which no container uses, for want of disk space", _shown(image))
        del self._last_used[image.id]
        self._write()
        return image.size_bytes

    def _forget(self, present: set[str]) -> None:
        """Images that somebody else removed."""
        gone = self._last_used.keys() - present
        if gone:
            self._last_used = {name: at for name, at in self._last_used.items() if name not in gone}
            self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps(sorted(self._last_used)))
        os.replace(unfinished, self._path)


def _shown(image: Image) -> str:
    names: Sequence[str] = [*image.names, *image.digests]
    return names[0] if names else image.id
