"""Gather a Job's facts and perform its plan; free the pods that no Job counts any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import controller_of, is_deleting, key_of, labels_of, uid_of
from tiphys.api.pods import is_finished as pod_is_finished
from tiphys.api.pods import is_ready
from tiphys.api.selectors import from_label_selector
from tiphys.controllers.job.new_pods import PODS
from tiphys.controllers.job.plan import JOBS, is_managed_elsewhere, plan, release
from tiphys.controllers.job.verdict import is_finished
from tiphys.controllers.job.view import FINALIZER, View, view_of
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, controller_key, own_key
from tiphys.reconcile.ownership import BY_CONTROLLER, claim, controller_index, within_reach
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

_owning_keys = controller_key("Job")


class JobController:
    """Writes pods of Jobs, their tracking finalizer, and the status of Jobs."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._jobs = tools.informers.of(JOBS)
        self._pods = tools.informers.of(PODS)
        self._pods.add_index(BY_CONTROLLER, controller_index)
        # What was found out about each Job's pods, for as long as they stay the same.
        self._views: dict[Key, dict[str, View]] = {}
        self._loop = Loop("job-controller", self._reconcile, {self._jobs: own_key, self._pods: self._keys_of_pod})
        strays = {self._pods: self._strays, self._jobs: self._pods_left}
        self._freeing = Loop("job-controller orphans", self._free, strays, workers=1)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._loop.run())
            group.create_task(self._freeing.run())

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if old is not None and new is not None and _shown(old) == _shown(new):
            return
        yield from _owning_keys(old, new)
        if new is not None and controller_of(new) is None:
            for job in self._jobs.list(new["metadata"]["namespace"]):
                if from_label_selector(job["spec"]["selector"]).matches(labels_of(new)):
                    yield key_of(job)

    async def _reconcile(self, key: Key) -> Performed | None:
        job = self._jobs.get(*key)
        if job is None or is_finished(job) or is_managed_elsewhere(job):
            self._views.pop(key, None)
            return None
        seen, fresh = self._sorted(key, within_reach(self._pods, job))
        selector = from_label_selector(job["spec"]["selector"])
        claimed = claim(job, PODS, fresh, lambda pod: selector.matches(labels_of(pod)), finalizer=FINALIZER)
        views = [*seen, *(view_of(pod) for pod in claimed.owned)]
        self._views[key] = {view.uid: view for view in views}
        return await self._tools.perform([*claimed.commands, *plan(job, views, self._tools.now())])

    def _sorted(self, key: Key, pods: Iterable[Object]) -> tuple[list[View], list[Object]]:
        """The views of pods that were the Job's own already and are as they were, and the other pods."""
        held = self._views.get(key, {})
        seen, fresh = [], []
        for pod in pods:
            view = held.get(uid_of(pod))
            if view is not None and view.pod is pod and controller_of(pod) is not None:
                seen.append(view)
            else:
                fresh.append(pod)
        return seen, fresh

    # pods that no Job counts

    def _strays(self, _: Object | None, new: Object | None) -> Iterable[Key]:
        """A tracked pod whose Job is not there, or has ended."""
        if new is not None and self._is_stray(new):
            yield key_of(new)

    def _pods_left(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """The tracked pods of a Job that has gone or ended."""
        job = new if new is not None else old
        if job is not None and (new is None or is_finished(job)):
            for pod in self._pods.by(BY_CONTROLLER, uid_of(job)):
                if FINALIZER in (pod["metadata"].get("finalizers") or ()):
                    yield key_of(pod)

    def _is_stray(self, pod: Object) -> bool:
        if FINALIZER not in (pod["metadata"].get("finalizers") or ()):
            return False
        owner = controller_of(pod)
        if owner is None:
            return True
        if (owner["apiVersion"], owner["kind"]) != (JOBS.api_version, JOBS.kind):
            return False
        job = self._jobs.get(pod["metadata"]["namespace"], owner["name"])
        return job is None or job["metadata"]["uid"] != owner["uid"] or _is_over(job)

    async def _free(self, key: Key) -> Performed | None:
        pod = self._pods.get(*key)
        if pod is None or not self._is_stray(pod) or await self._is_counted(pod):
            return None
        return await self._tools.perform([release(pod)])

    async def _is_counted(self, pod: Object) -> bool:
        """The server must say itself that the Job is over: our cache of Jobs may be behind the one of pods."""
        owner = controller_of(pod)
        if owner is None:
            return False
        try:
            job = await self._tools.client.get(JOBS, owner["name"], pod["metadata"]["namespace"])
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return bool(job["metadata"]["uid"] == owner["uid"]) and not _is_over(job)


def _is_over(job: Object) -> bool:
    return is_finished(job) and not is_managed_elsewhere(job)


def _shown(pod: Object) -> tuple[Any, ...]:
    """What a Job sees of a pod."""
    meta, status = pod["metadata"], pod.get("status") or {}
    restarts = [container.get("restartCount") for container in status.get("containerStatuses") or ()]
    conditions = status.get("conditions") if pod_is_finished(pod) else is_ready(pod)
    owner = (controller_of(pod) or {}).get("uid")
    finalizers = meta.get("finalizers")
    return labels_of(pod), owner, finalizers, is_deleting(pod), status.get("phase"), restarts, conditions
