"""
Which images are on which rows, and how much of a pod's images a node has.

An image that many nodes have counts for more: else all pods of a new image would follow the first one to its node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Less than this is pulled in no time, more than this (for each container) is all the same.
BYTES_MIN = 23 * 1024 * 1024
BYTES_MAX = 1000 * 1024 * 1024


class Images:
    """Image name → row → bytes. `epoch` counts the changes."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, int]] = {}
        self._told: dict[int, Sequence[Any]] = {}
        self.epoch = 0

    def put(self, row: int, told: Sequence[Mapping[str, Any]]) -> None:
        """What a node tells of its images; nothing for a node that went."""
        before = self._told.get(row, ())
        if before == told:
            return
        self.epoch += 1
        for name, _ in _named(before):
            held = self._rows.get(name)
            if held is not None and held.pop(row, None) is not None and not held:
                del self._rows[name]
        for name, size in _named(told):
            self._rows.setdefault(name, {})[row] = size
        if told:
            self._told[row] = told
        else:
            self._told.pop(row, None)

    def score(self, names: Sequence[str], rows: int, nodes: int) -> NDArray[np.float64] | None:
        """For each row 0 … 100 for having a pod's images; None when no node has any of them."""
        held = [found for name in names if (found := self._rows.get(normalized(name)))]
        if not held:
            return None
        total = np.zeros(rows)
        for found in held:
            on = np.fromiter(found, dtype=np.int64, count=len(found))
            sizes = np.fromiter(found.values(), dtype=np.float64, count=len(found))
            total[on] += sizes * (len(found) / max(nodes, 1))
        most = BYTES_MAX * len(names)
        scores: NDArray[np.float64] = 100.0 * (np.clip(total, BYTES_MIN, most) - BYTES_MIN) / (most - BYTES_MIN)
        return scores


def image_names(spec: Mapping[str, Any]) -> list[str]:
    """The images of all containers of a pod."""
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    return [container.get("image") or "" for container in containers]


def normalized(name: str) -> str:
    """An image without a tag is the latest."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _named(told: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, int]]:
    for image in told:
        for name in image.get("names") or ():
            yield name, int(image.get("sizeBytes") or 0)
