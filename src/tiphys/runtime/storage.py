"""
containers/storage read directly: which images are here, and which layers their root file system is made of.

skopeo, buildah and podman write this store. Starting a program to read it would cost more than starting a container,
so images.json and layers.json are read as they are; both are replaced by a rename, never changed in place.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.runtime import names
from tiphys.runtime.door import Image

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """An image and the id of its topmost layer ("" for an image of nothing)."""

    image: Image
    layer: str


class Storage:
    """Reads when a file changed, else answers from memory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = (root / "overlay-images/images.json", root / "overlay-layers/layers.json")
        self._stamps: tuple[Stamp | None, Stamp | None] = (None, None)
        self._stored: list[Stored] = []

    def is_current(self) -> bool:
        """Whether the answers come from memory."""
        return self._look() == self._stamps

    def all(self) -> list[Stored]:
        stamps = self._look()
        if stamps != self._stamps:
            images, layers = (json.loads(path.read_bytes()) if path.exists() else [] for path in self._files)
            sizes = {layer["id"]: (layer.get("parent", ""), layer.get("diff-size", 0)) for layer in layers}
            self._stored = [self._read(record, sizes) for record in images if record.get("layer", "") in {*sizes, ""}]
            self._stamps = stamps
        return self._stored

    def find(self, reference: str) -> Stored | None:
        """By id, name or digest; InvalidImageName for what is none of them."""
        stored = self.all()
        wanted = names.image_id(reference)
        if wanted:
            return next((s for s in stored if s.image.id == f"sha256:{wanted}"), None)
        full = names.parse(reference)
        for s in stored:
            if str(full) in s.image.names or (full.digest and full.pullable in (*s.image.digests, *s.image.names)):
                return s
        return None

    def lower_directories(self, layer: str) -> str:
        """The `lowerdir` of an overlay mount, topmost first, relative to `overlay_dir`: short links, long chains."""
        directory = self.overlay_dir / layer
        own = f"l/{(directory / 'link').read_text().strip()}"
        below = directory / "lower"
        return f"{own}:{below.read_text().strip()}" if below.exists() else own

    def _look(self) -> tuple[Stamp | None, Stamp | None]:
        return _stamp(self._files[0]), _stamp(self._files[1])

    @property
    def overlay_dir(self) -> Path:
        return self._root / "overlay"

    def _read(self, record: dict[str, Any], sizes: dict[str, tuple[str, int]]) -> Stored:
        config = self._config(record["id"])
        run = config.get("config") or {}
        full = tuple(record.get("names") or ())
        image = Image(
            id=f"sha256:{record['id']}",
            names=full,
            digests=_digests(record, full),
            size_bytes=_size(record.get("layer", ""), sizes),
            user=run.get("User") or "",
            env=tuple(run.get("Env") or ()),
            entrypoint=tuple(run.get("Entrypoint") or ()),
            command=tuple(run.get("Cmd") or ()),
            working_dir=run.get("WorkingDir") or "",
            stop_signal=run.get("StopSignal") or "",
            volumes=tuple(run.get("Volumes") or ()),
        )
        return Stored(image, record.get("layer", ""))

    def _config(self, image_id: str) -> dict[str, Any]:
        """The image's config is kept under its own digest, in base64 because of the colon."""
        name = base64.b64encode(f"sha256:{image_id}".encode()).decode()
        path = self._root / "overlay-images" / image_id / f"={name}"
        return json.loads(path.read_bytes()) if path.exists() else {}


def _digests(record: dict[str, Any], full: tuple[str, ...]) -> tuple[str, ...]:
    digest = record.get("digest")
    parsed = [names.parse(name) for name in full]
    found = [f"{name.repository}@{digest}" for name in parsed if digest]
    return tuple(dict.fromkeys([*(n.pullable for n in parsed if n.digest), *found]))


def _size(layer: str, sizes: dict[str, tuple[str, int]]) -> int:
    total = 0
    while layer in sizes:
        layer, size = sizes[layer]
        total += max(size, 0)
    return total


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
