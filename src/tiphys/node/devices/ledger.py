"""
Who holds which devices, on disk: it outlives the agent, so that a device has one holder, also over a crash.

    {"resources": ["example.com/gpu"], "pods": {UID: {CONTAINER: {RESOURCE: {"ids": […], "answer": {…}}}}}}

`answer` is what the plugin said to Allocate (None while it was not yet said): a container that starts again is given
the same without asking.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Object = dict[str, Any]
Held = dict[str, dict[str, Object]]

log = logging.getLogger(__name__)


class Ledger:
    """Each change is on disk when the call returns. OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pods: dict[str, Held] = {}
        self._resources: set[str] = set()

    def load(self) -> None:
        try:
            raw = json.loads(self._path.read_bytes())
            self._pods, self._resources = dict(raw["pods"]), set(raw["resources"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            # Nobody but us writes it: what is broken cannot be mended, and pods are admitted anew.
            log.warning("%s cannot be read, beginning with no devices given: %s", self._path, error)

    @property
    def resources(self) -> frozenset[str]:
        """Every resource that a plugin has ever offered here."""
        return frozenset(self._resources)

    def add_resource(self, resource: str) -> None:
        if resource not in self._resources:
            self._resources.add(resource)
            self._save()

    def held(self, resource: str) -> frozenset[str]:
        """By anybody."""
        entries = (one for pod in self._pods.values() for container in pod.values() for one in container.items())
        return frozenset(device for name, entry in entries if name == resource for device in entry["ids"])

    def of(self, uid: str, container: str) -> Mapping[str, Object]:
        """By resource."""
        return self._pods.get(uid, {}).get(container, {})

    @property
    def uids(self) -> Iterable[str]:
        return list(self._pods)

    def reserve(self, uid: str, container: str, resource: str, ids: list[str]) -> None:
        """From now on nobody else gets them."""
        self._pods.setdefault(uid, {}).setdefault(container, {})[resource] = {"ids": ids, "answer": None}
        self._save()

    def settle(self, uid: str, container: str, resource: str, answer: Object) -> None:
        """The plugin has given them. Nothing to do for a pod that is gone meanwhile."""
        entry = self._pods.get(uid, {}).get(container, {}).get(resource)
        if entry is not None:
            entry["answer"] = answer
            self._save()

    def release(self, uid: str) -> bool:
        """Whether the pod held anything."""
        if self._pods.pop(uid, None) is None:
            return False
        self._save()
        return True

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f".{self._path.name}.new")
        with fresh.open("w") as file:
            json.dump({"resources": sorted(self._resources), "pods": self._pods}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
