"""
Decide how a StatefulSet reaches its pods.

Pure: facts in, commands out. Three passes, of which each waits for the one before where the set is ordered: every
wanted ordinal has a pod, lowest first; those beyond go, highest first; old ones go to come back new, highest first.
A name is used again only when the pod that had it is gone: no two pods ever have one identity.

As in Kubernetes, an ordered set stands still behind a pod that does not get ready, also when its template has been put
right since: that pod is somebody's to delete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import annotations_of, is_deleting, key_of, labels_of, name_of, uid_of
from tiphys.api.own_annotations import PAUSED
from tiphys.api.pods import is_finished, seconds_until_available
from tiphys.controllers.statefulset import claims as storage
from tiphys.controllers.statefulset.claims import Claims
from tiphys.controllers.statefulset.identity import (
    PODS,
    STATEFULSETS,
    identity_labels,
    new_pod,
    ordinal_of,
    ordinals,
    pod_name,
)
from tiphys.controllers.statefulset.status import Versions, is_healthy, is_of, min_ready_seconds, status_of
from tiphys.reconcile import history
from tiphys.reconcile.commands import Announce, Command, Create, Delete, Patch, Requeue, Say, Update
from tiphys.reconcile.shares import resolve

Object = dict[str, Any]

# The hash of a StatefulSet's revision is under this label.
REVISION_HASH = "controller.kubernetes.io/hash"
# A broken template of a parallel set should fail a few hundred times, not ten thousand.
CREATES_PER_PLAN_MAX = 500


@dataclass(frozen=True, slots=True)
class Facts:
    """`pods` and `revisions` are those that the set owns; `claims` those of the namespace, by name."""

    pods: Sequence[Object]
    revisions: Sequence[Object]
    claims: Claims


def plan(statefulset: Object, facts: Facts, now: float) -> list[Command]:
    """Everything that can be done now, in order."""
    recorded = history.record(statefulset, facts.revisions, REVISION_HASH)
    versions = Versions(_current(statefulset, facts.revisions) or recorded.revision, recorded.revision)
    pods = {n: pod for pod in facts.pods if (n := ordinal_of(statefulset, pod)) is not None}
    status = status_of(statefulset, list(pods.values()), versions, now)
    commands: list[Command] = []
    if not is_deleting(statefulset):
        steps = _Steps(statefulset, facts.claims, pods, versions, now)
        commands = [*recorded.commands, *steps.all()]
        in_use = {status["currentRevision"], status["updateRevision"]}
        in_use |= {labels_of(pod).get(history.POD_REVISION, "") for pod in facts.pods}
        commands += history.surplus(statefulset, facts.revisions, in_use)
    if status != (statefulset.get("status") or {}):
        commands.append(Update(STATEFULSETS, {**statefulset, "status": status}, "status"))
    waits = [seconds_until_available(pod, min_ready_seconds(statefulset), now) for pod in pods.values()]
    if any(waits):
        commands.append(Requeue(min(wait for wait in waits if wait)))
    return commands


def _current(statefulset: Object, revisions: Sequence[Object]) -> Object | None:
    name = (statefulset.get("status") or {}).get("currentRevision")
    return next((one for one in revisions if name_of(one) == name), None)


@dataclass(frozen=True, slots=True)
class _Steps:
    statefulset: Object
    claims: Claims
    pods: Mapping[int, Object]
    versions: Versions
    now: float

    @property
    def ordered(self) -> bool:
        return bool(self.statefulset["spec"].get("podManagementPolicy") != "Parallel")

    def all(self) -> list[Command]:
        commands, goes_on = self._fill()
        if goes_on:
            more, goes_on = self._shrink()
            commands += more
        if goes_on:
            commands += self._roll()
        return commands

    def _is_healthy(self, pod: Object) -> bool:
        return is_healthy(self.statefulset, pod, self.now)

    # every wanted ordinal has a pod

    def _fill(self) -> tuple[list[Command], bool]:
        """The commands, and whether nothing stands in the way of the next pass."""
        commands: list[Command] = []
        made = 0
        for ordinal in ordinals(self.statefulset):
            pod = self.pods.get(ordinal)
            commands += self._make(ordinal) if pod is None else self._mend(ordinal, pod)
            if self.ordered and (pod is None or not self._is_healthy(pod)):
                return commands, False
            made += pod is None
            if made >= CREATES_PER_PLAN_MAX:
                return _claims_first(commands), False
        return _claims_first(commands), True

    def _make(self, ordinal: int) -> list[Command]:
        name = pod_name(self.statefulset, ordinal)
        if storage.must_go_first(self.statefulset, name, self.claims):
            return []
        revision = self.versions.current if self._needs_current(ordinal) else self.versions.update
        pod = new_pod(self.statefulset, revision, ordinal)
        claims = storage.missing(self.statefulset, name, self.claims)
        return [*claims, Create(PODS, pod, announce=self._announce("create", "Create", name))]

    def _needs_current(self, ordinal: int) -> bool:
        """Ordinals below the partition come back as they were."""
        strategy = self.statefulset["spec"].get("updateStrategy") or {}
        if strategy.get("type") != "RollingUpdate":
            return False
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            kept = (self.statefulset.get("status") or {}).get("currentReplicas") or 0
        else:
            kept = rolling.get("partition") or 0
        return bool(ordinal < ordinals(self.statefulset).start + kept)

    def _mend(self, ordinal: int, pod: Object) -> list[Command]:
        """A pod that has ended goes; one that lacks its labels or claims gets them."""
        name = name_of(pod)
        if is_finished(pod) and not is_deleting(pod):
            how, reason = ("failed", "RecreatingFailedPod")
            if pod["status"]["phase"] == "Succeeded":
                how, reason = ("terminated", "RecreatingTerminatedPod")
            text = f"StatefulSet {'/'.join(key_of(self.statefulset))} is recreating {how} Pod {name}"
            kind = "Warning" if how == "failed" else "Normal"
            return [Say(self.statefulset, kind, reason, text), self._delete(pod)]
        commands = storage.entrust(self.statefulset, pod, self.claims, condemned=False)
        if (pod.get("status") or {}).get("phase") == "Pending" and not is_deleting(pod):
            commands += storage.missing(self.statefulset, name, self.claims)
        labels = identity_labels(name, ordinal)
        if not labels.items() <= labels_of(pod).items():
            commands.append(Patch(PODS, key_of(pod), {"metadata": {"uid": uid_of(pod), "labels": labels}}))
        return commands

    # those beyond go

    def _shrink(self) -> tuple[list[Command], bool]:
        wanted = ordinals(self.statefulset)
        condemned = [self.pods[ordinal] for ordinal in sorted(self.pods, reverse=True) if ordinal not in wanted]
        commands: list[Command] = []
        for pod in condemned:
            if is_deleting(pod):
                if self.ordered:
                    return commands, False
                continue
            if self.ordered and self._waits_for_lower(pod, condemned):
                return commands, False
            commands += storage.entrust(self.statefulset, pod, self.claims, condemned=True)
            commands.append(self._delete(pod))
            if self.ordered:
                return commands, False
        return commands, True

    def _waits_for_lower(self, pod: Object, condemned: Sequence[Object]) -> bool:
        """An unhealthy pod goes only after those before it are well, or gone."""
        if self._is_healthy(pod):
            return False
        return any(not self._is_healthy(one) for one in condemned[condemned.index(pod) + 1 :])

    # old ones come back new

    def _roll(self) -> list[Command]:
        strategy = self.statefulset["spec"].get("updateStrategy") or {}
        if strategy.get("type") != "RollingUpdate" or annotations_of(self.statefulset).get(PAUSED) == "true":
            return []
        rolling = strategy.get("rollingUpdate") or {}
        wanted = ordinals(self.statefulset)
        targets = [self.pods.get(ordinal) for ordinal in reversed(wanted[rolling.get("partition") or 0 :])]
        if rolling.get("maxUnavailable") is None:
            return self._roll_one(targets)
        return self._roll_some(targets, max(resolve(rolling["maxUnavailable"], len(wanted), up=False), 1))

    def _is_old(self, pod: Object) -> bool:
        return not is_of(pod, self.versions.update) and not is_deleting(pod)

    def _roll_one(self, targets: Sequence[Object | None]) -> list[Command]:
        """The highest old one, once all above it are new and well."""
        for pod in targets:
            if pod is not None and self._is_old(pod):
                return [self._delete(pod)]
            if pod is None or not self._is_healthy(pod):
                return []
        return []

    def _roll_some(self, targets: Sequence[Object | None], most: int) -> list[Command]:
        """As many as may be away at once. An old one that is not well is away already: its turn costs nothing."""
        wanted = [self.pods.get(ordinal) for ordinal in ordinals(self.statefulset)]
        room = most - sum(pod is None or not self._is_healthy(pod) for pod in wanted)
        old = [pod for pod in targets if pod is not None and self._is_old(pod)]
        well = [pod for pod in old if self._is_healthy(pod)][: max(room, 0)]
        return [self._delete(pod) for pod in old if pod in well or not self._is_healthy(pod)]

    # commands

    def _delete(self, pod: Object) -> Delete:
        return Delete(PODS, key_of(pod), uid_of(pod), announce=self._announce("delete", "Delete", name_of(pod)))

    def _announce(self, verb: str, reason: str, pod: str) -> Announce:
        what = f"{verb} Pod {pod} in StatefulSet {name_of(self.statefulset)}"
        failed = (f"Failed{reason}", f"{what} failed error: {{error}}")
        return Announce(self.statefulset, f"Successful{reason}", f"{what} successful", *failed)


def _claims_first(commands: Sequence[Command]) -> list[Command]:
    """Pods that are made together find all of their claims."""
    return sorted(commands, key=lambda command: isinstance(command, Create) and command.resource == PODS)
