"""How long the failed pods of a node wait to be replaced: one that fails at once must not be made a thousand times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Key = tuple[str, str]

FIRST_SECONDS = 1.0
MAX_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class _Held:
    seconds: float
    until: float


class Backoffs:
    """Of each DaemonSet and node; forgotten when a node has been well for as long as the longest wait."""

    def __init__(self) -> None:
        self._held: dict[Key, dict[str, _Held]] = {}

    def of(self, key: Key) -> Mapping[str, float]:
        """Node → the moment from which its failed pod may be replaced."""
        return {node: held.until for node, held in self._held.get(key, {}).items()}

    def replaced(self, key: Key, nodes: Iterable[str], now: float) -> None:
        """Failed pods of these nodes are being replaced now: the next ones wait twice as long."""
        known = {n: held for n, held in self._held.get(key, {}).items() if now - held.until < MAX_SECONDS}
        for node in nodes:
            before = known.get(node)
            seconds = FIRST_SECONDS if before is None else min(before.seconds * 2, MAX_SECONDS)
            known[node] = _Held(seconds, now + seconds)
        if known:
            self._held[key] = known
        else:
            self._held.pop(key, None)

    def forget(self, key: Key) -> None:
        self._held.pop(key, None)
