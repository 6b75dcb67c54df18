"""
Static pods at work: workers begun and ended as the directory says, mirror pods kept as the workers are.

`plan` decides about one mirror pod; it is asked again when a worker begins or ends, when the API shows another pod of
that name, and, after a failure, with back-off. While the API is away nothing here holds up a pod.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.aio.clock import Clock
from tiphys.aio.queue import Backoff, KeyQueue
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import is_deleting, key_of, uid_of
from tiphys.client.client import Client
from tiphys.node.static import manifest
from tiphys.node.static.folder import Folder
from tiphys.node.statuses import Statuses

Object = dict[str, Any]
Key = tuple[str, str]

# Who has deleted a mirror pod asks by its name whether it is gone: kubectl waits for ever if it came back at once.
SHOW_AGAIN_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Create:
    """Show the pod in the API."""

    mirror: Object


@dataclass(frozen=True, slots=True)
class Delete:
    """Take a mirror pod out of the API at once."""

    uid: str


def plan(pod: Object | None, shown: Object | None, node: Mapping[str, Any]) -> list[Create | Delete]:
    """
    What brings the API to show `pod`, the static pod of a name that is at work, if any. `shown` is the pod of that name
    in the API: one that is no mirror pod is not ours to touch.
    """
    if shown is not None:
        if not manifest.is_mirror(shown):
            return []
        stale = pod is None or not manifest.is_mirror_of(shown, pod) or is_deleting(shown)
        return [Delete(uid_of(shown))] if stale else []
    if pod is None or not node["metadata"].get("uid"):
        return []
    return [Create(manifest.mirror_of(pod, node))]


@dataclass(frozen=True, slots=True)
class Agent:
    """What is needed of the agent: workers by pod, its node, and pods as the API shows them."""

    begin: Callable[[Object], None]
    end: Callable[[Object], None]
    node: Callable[[], Mapping[str, Any]]
    shown: Callable[[Key], Object | None]


class StaticPods:
    """`open()` begins what is there without the API; `run()` follows the directory and keeps the mirror pods."""

    def __init__(self, directory: Path, node_name: str, client: Client, statuses: Statuses, now: Clock) -> None:
        self._client = client
        self._statuses = statuses
        self._resource = resources.get("", "v1", "pods")
        self._folder = Folder(directory, node_name, now, self._found)
        self._wanted: dict[Key, Object] = {}
        self._working: dict[Key, Object] = {}
        self._mirrors: dict[str, str] = {}
        self._queue: KeyQueue[Key] = KeyQueue(Backoff(0.1, 30.0))
        self._agent: Agent | None = None

    def open(self, agent: Agent) -> None:
        """Begin what the directory says now."""
        self._agent = agent
        self._folder.read()

    async def run(self) -> None:
        """Until cancelled; the API is there."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._folder.run(), name="static pods")
                group.create_task(self._keep_mirrors(), name="mirror pods")
        finally:
            self._queue.close()

    def observe(self, old: Object | None, new: Object | None) -> bool:
        """A pod of this node has changed in the API. Whether it is a mirror pod, which has no worker."""
        either = new if new is not None else old
        assert either is not None
        if manifest.is_mirror(old) or manifest.is_mirror(new):
            key = key_of(either)
            pod = self._working.get(key)
            if pod is not None:
                current = new if new is not None and manifest.is_mirror(new) else None
                self._tell(pod, current)
            if new is None:
                self._queue.add_after(key, SHOW_AGAIN_SECONDS)
            else:
                self._queue.add(key)
        return manifest.is_mirror(new) or (new is None and manifest.is_mirror(old))

    def _tell(self, pod: Object, mirror: Object | None) -> None:
        """Where the status of a static pod goes."""
        if mirror is not None and (not manifest.is_mirror_of(mirror, pod) or is_deleting(mirror)):
            mirror = None
        uid = uid_of(mirror) if mirror is not None else ""
        if self._mirrors.get(uid_of(pod), "") != uid:
            self._mirrors[uid_of(pod)] = uid
            self._statuses.mirrored(pod, mirror)

    def mirror_uid(self, uid: str) -> str:
        """As whom the API knows a pod."""
        return self._mirrors.get(uid) or uid

    def over(self, pod: Object) -> None:
        """Nothing is left of a static pod."""
        key = key_of(pod)
        if self._working.get(key, {}).get("metadata", {}).get("uid") == uid_of(pod):
            del self._working[key]
            self._mirrors.pop(uid_of(pod), None)
            self._queue.add(key)
            self._begin(key)

    def _found(self, pods: Mapping[str, Object]) -> None:
        """Two files that say a pod of one name: the first by path counts."""
        wanted: dict[Key, Object] = {}
        for path in sorted(pods):
            if key_of(pods[path]) in wanted:
                log.warning("the static pod of %s is not taken: another file has its name", path)
            wanted.setdefault(key_of(pods[path]), pods[path])
        self._wanted = wanted
        assert self._agent is not None
        for key, pod in list(self._working.items()):
            if key not in wanted or uid_of(wanted[key]) != uid_of(pod):
                self._agent.end(pod)
        for key in wanted:
            self._begin(key)

    def _begin(self, key: Key) -> None:
        pod = self._wanted.get(key)
        if pod is None or key in self._working or self._agent is None:
            return
        self._working[key] = pod
        self._agent.begin(pod)
        shown = self._agent.shown(key)
        self._tell(pod, shown if manifest.is_mirror(shown) else None)
        self._queue.add(key)

    async def _keep_mirrors(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._keep_mirror(key)
                self._queue.forget(key)
            except (StatusError, OSError) as error:
                if isinstance(error, StatusError) and error.code in (404, 409):
                    self._queue.forget(key)  # what the API has instead comes as an event
                else:
                    delay = self._queue.retry(key)
                    log.warning("the mirror pod %s/%s is not as it should be (again in %.1f s): %s", *key, delay, error)
            finally:
                self._queue.done(key)

    async def _keep_mirror(self, key: Key) -> None:
        assert self._agent is not None
        for command in plan(self._working.get(key), self._agent.shown(key), self._agent.node()):
            match command:
                case Create(mirror):
                    await self._client.create(self._resource, mirror, key[0])
                case Delete(uid):
                    await self._client.delete(self._resource, key, uid=uid, grace_seconds=0)
