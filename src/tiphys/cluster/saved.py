"""
What is known of a cluster that was brought up, kept in its data directory: its settings, that `down` and `status` need,
and whether the machine had images before it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from tiphys.cluster.settings import Settings
from tiphys.pki import files

FILE = "cluster.json"
# Says that there were no images on this machine before us, so that all of them are ours to remove.
NO_IMAGES_BEFORE = "no-images-before"


def save(settings: Settings) -> None:
    """Write them; a file that says the same is left alone."""
    text = json.dumps(dataclasses.asdict(settings), default=str, indent=1, sort_keys=True)
    path = settings.data_dir / FILE
    if not path.exists() or path.read_text() != text:
        files.write(path, text.encode())


def load(data_dir: Path) -> Settings | None:
    """The settings of the cluster in that directory, or None if there is none."""
    path = data_dir / FILE
    if not path.exists():
        return None
    raw: dict[str, Any] = json.loads(path.read_text())
    for field in dataclasses.fields(Settings):
        if field.name not in raw:
            continue
        if "Path" in str(field.type) and raw[field.name] is not None:
            raw[field.name] = Path(raw[field.name])
        elif "tuple" in str(field.type):
            raw[field.name] = tuple(tuple(item) if isinstance(item, list) else item for item in raw[field.name])
    known = {field.name for field in dataclasses.fields(Settings)}
    return Settings(**{name: value for name, value in raw.items() if name in known})


def note_storage(settings: Settings) -> None:
    """Remember, at the first start, whether the image store was there before us."""
    if not settings.storage_root.exists() and not settings.database.exists():
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (settings.data_dir / NO_IMAGES_BEFORE).touch()
