"""
Which resizes of this node's pods are granted: at once where there is room, later when others give some back.

What a pod was given is in a file as long as it differs from what its object asks for, so that an agent that was killed
neither forgets a grant nor takes a wish for one. A pod that nobody resizes has no such file.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tiphys.aio.clock import Clock
from tiphys.api.objects import uid_of
from tiphys.node import allocation
from tiphys.node.pod import resizing
from tiphys.node.pod.facts import Resize
from tiphys.node.pod.state import PodState
from tiphys.node.pod.worker import PodWorker

Object = dict[str, Any]

CHECKPOINT = "allocation.json"

log = logging.getLogger(__name__)


class Resizes:
    """`holders` are the workers whose pods take a part of `node` (its object)."""

    def __init__(
        self,
        pods_dir: Path,
        holders: Callable[[], Sequence[PodWorker]],
        node: Callable[[], Mapping[str, Any]],
        now: Clock,
    ) -> None:
        self._pods_dir = pods_dir
        self._holders = holders
        self._node = node
        self._now = now
        # Those that wait for room, and since when.
        self._deferred: dict[str, tuple[PodWorker, float]] = {}

    def consider(self, worker: PodWorker) -> None:
        """The worker's object is new: does it ask for other resources than it has?"""
        state = worker.state
        if state.desired is None or state.ending is not None or state.torn_down:
            self._deferred.pop(uid_of(state.pod), None)
            if state.held is not None:
                state.held = None
                self._keep(state)
            return
        others = [other.state.pod for other in self._holders() if other is not worker]
        why = allocation.objection(state.desired, others, self._node())
        since = self._deferred.pop(uid_of(state.pod), (worker, self._now()))[1]
        if why is None:
            resizing.grant(worker.work)
            self._keep(state)
            self.retry()
            return
        if why.reason == allocation.DEFERRED:
            self._deferred[uid_of(state.pod)] = (worker, since)
        if resizing.hold(worker.work, why):
            self._keep(state)

    def retry(self) -> None:
        """There may be more room than there was."""
        waiting = [(allocation.turn(worker.state.pod, since), worker) for worker, since in self._deferred.values()]
        for _, worker in sorted(waiting, key=lambda entry: entry[0]):
            if uid_of(worker.state.pod) in self._deferred:
                self.consider(worker)

    def done(self, uid: str) -> None:
        """A resize is in force."""
        for worker in self._holders():
            if uid_of(worker.state.pod) == uid:
                self._keep(worker.state)
        self.retry()

    def forget(self, uid: str) -> None:
        """A pod is gone, and others may have its part."""
        self._deferred.pop(uid, None)
        self.retry()

    # what outlives the agent

    def recall(self, state: PodState) -> None:
        """What an earlier agent gave the pod."""
        saved = self._saved(uid_of(state.pod))
        given = saved["given"] if saved else allocation.reported(state.pod)
        pod = state.pod
        state.pod = allocation.as_allocated(pod, given)
        state.desired = None if state.pod is pod else pod
        if saved and saved["before"] is not None:
            state.resize = Resize(saved["before"], int(saved["generation"]))

    def _saved(self, uid: str) -> Object | None:
        try:
            saved = json.loads((self._pods_dir / uid / CHECKPOINT).read_bytes())
            if {"given", "before", "generation"} <= saved.keys() and {"containers", "pod"} <= saved["given"].keys():
                return saved
            raise ValueError("it lacks a part")
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            log.warning("what pod %s was given cannot be read, so its status is believed: %s", uid, error)
            return None

    def _keep(self, state: PodState) -> None:
        path = self._pods_dir / uid_of(state.pod) / CHECKPOINT
        if state.desired is None and state.resize is None:
            path.unlink(missing_ok=True)
            return
        resize = state.resize
        saved = {
            "given": allocation.allocation_of(state.pod),
            "before": dict(resize.before) if resize is not None else None,
            "generation": resize.generation if resize is not None else 0,
        }
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(saved))
        os.replace(fresh, path)
