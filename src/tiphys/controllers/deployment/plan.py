"""
Decide how a Deployment moves to its present pod template.

Pure: the Deployment, its ReplicaSets and (for Recreate) its pods in, commands out. Each plan takes one step: find or
make the new ReplicaSet, size the new and the old ones, write the status. The next event brings the next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, key_of, uid_of
from tiphys.api.pods import is_finished
from tiphys.controllers.deployment import numbers, status, templates
from tiphys.controllers.deployment.templates import DESIRED, MAX, REPLICASETS, REVISION
from tiphys.reconcile.commands import Command, Create, Delete, Requeue, Say, Update

Object = dict[str, Any]

DEPLOYMENTS = resources.get("apps", "v1", "deployments")


def plan(deployment: Object, replicasets: Sequence[Object], pods: Sequence[Object], now: float) -> list[Command]:
    """One step. `replicasets` and `pods` are those that the Deployment owns (pods through its ReplicaSets)."""
    new = templates.find_new(deployment, replicasets)
    olds = [rs for rs in replicasets if new is None or uid_of(rs) != uid_of(new)]
    if is_deleting(deployment):
        return _write_status(deployment, new, olds, now)
    commands = _steps(deployment, new, olds, pods)
    if any(isinstance(command, Update) and command.resource == DEPLOYMENTS for command in commands):
        # The status goes with the version that this update makes: its event brings the next plan.
        return commands
    return [*commands, *_write_status(deployment, new, olds, now)]


def _steps(deployment: Object, new: Object | None, olds: Sequence[Object], pods: Sequence[Object]) -> list[Command]:
    spec = deployment["spec"]
    everything = [*olds, *([new] if new is not None else [])]
    if spec.get("paused") or numbers.was_scaled(deployment, everything):
        revision = _adopt_revision(deployment, new, olds) if new is not None else []
        return [*revision, *_scale(deployment, new, olds), *(_clean_up(deployment, olds) if spec.get("paused") else [])]
    if spec["strategy"].get("type") == "Recreate":
        commands = _recreate(deployment, new, olds, pods)
    else:
        commands = _roll(deployment, new, olds)
    if numbers.is_saturated(deployment, new) and not any(numbers.present(rs) for rs in olds):
        commands += _clean_up(deployment, olds)
    return commands


# the new ReplicaSet


def _next_revision(new: Object | None, olds: Sequence[Object]) -> int:
    """One more than any old one; the new ReplicaSet keeps its own if that is already the highest."""
    highest = max((templates.revision_of(rs) for rs in olds), default=0) + 1
    return max(highest, templates.revision_of(new)) if new is not None else highest


def _adopt_revision(deployment: Object, new: Object, olds: Sequence[Object]) -> list[Command]:
    """Give the new ReplicaSet its revision and annotations, and the Deployment its revision."""
    commands: list[Command] = []
    revision = _next_revision(new, olds)
    annotations = templates.annotations_for(deployment, new, revision)
    ready_seconds = deployment["spec"].get("minReadySeconds") or 0
    changed = annotations != (new["metadata"].get("annotations") or {})
    if changed or (new["spec"].get("minReadySeconds") or 0) != ready_seconds:
        spec = {**new["spec"], "minReadySeconds": ready_seconds}
        updated = {**new, "metadata": {**new["metadata"], "annotations": annotations}, "spec": spec}
        commands.append(Update(REPLICASETS, updated))
    return commands + _write_revision(deployment, revision)


def _write_revision(deployment: Object, revision: int) -> list[Command]:
    held = deployment["metadata"].get("annotations") or {}
    if held.get(REVISION) == str(revision):
        return []
    meta = {**deployment["metadata"], "annotations": {**held, REVISION: str(revision)}}
    return [Update(DEPLOYMENTS, {**deployment, "metadata": meta})]


def _make_new(deployment: Object, olds: Sequence[Object]) -> list[Command]:
    """Create the ReplicaSet of the present template, sized for the strategy."""
    revision = _next_revision(None, olds)
    total = sum(numbers.wanted(rs) for rs in olds)
    size = numbers.new_size(deployment, 0, total)
    annotations = templates.annotations_for(deployment, None, revision) | _size_annotations(deployment)
    made = templates.new_replicaset(deployment, size, annotations)
    name = made["metadata"]["name"]
    said = [_scaled(deployment, name, 0, size)] if size else []
    return [Create(REPLICASETS, made), *said, *_write_revision(deployment, revision)]


def _size_annotations(deployment: Object) -> dict[str, str]:
    replicas = deployment["spec"]["replicas"]
    return {DESIRED: str(replicas), MAX: str(replicas + numbers.fenceposts(deployment)[0])}


# sizes


def _resize(deployment: Object, replicaset: Object, size: int) -> list[Command]:
    """Set the size and remember what it was worked out from; an event tells of a real change."""
    before = numbers.wanted(replicaset)
    held = replicaset["metadata"].get("annotations") or {}
    annotations = {**held, **_size_annotations(deployment)}
    if size == before and annotations == held:
        return []
    meta = {**replicaset["metadata"], "annotations": annotations}
    updated = {**replicaset, "metadata": meta, "spec": {**replicaset["spec"], "replicas": size}}
    said = [_scaled(deployment, replicaset["metadata"]["name"], before, size)] if size != before else []
    return [Update(REPLICASETS, updated), *said]


def _scaled(deployment: Object, name: str, before: int, size: int) -> Say:
    direction = "up" if size > before else "down"
    text = f"Scaled {direction} replica set {name} from {before} to {size}"
    return Say(deployment, "Normal", "ScalingReplicaSet", text)


def _scale(deployment: Object, new: Object | None, olds: Sequence[Object]) -> list[Command]:
    """The replica count changed (or the rollout is paused): no step forward, only sizes."""
    everything = [*olds, *([new] if new is not None else [])]
    active = [rs for rs in everything if numbers.wanted(rs) > 0]
    if len(active) <= 1:
        only = active[0] if active else new
        return _resize(deployment, only, deployment["spec"]["replicas"]) if only is not None else []
    if numbers.is_saturated(deployment, new):
        return [c for rs in olds if numbers.wanted(rs) for c in _resize(deployment, rs, 0)]
    if deployment["spec"]["strategy"].get("type") == "Recreate":
        return []
    sizes = numbers.proportional(deployment, everything)
    return [c for rs in active for c in _resize(deployment, rs, sizes[rs["metadata"]["name"]])]


# strategies


def _roll(deployment: Object, new: Object | None, olds: Sequence[Object]) -> list[Command]:
    """Grow the new one as far as maxSurge allows, then shrink the old ones as far as maxUnavailable allows."""
    if new is None:
        return _make_new(deployment, olds)
    commands = _adopt_revision(deployment, new, olds)
    if commands:
        return commands
    replicas, size = deployment["spec"]["replicas"], numbers.wanted(new)
    if size != replicas:
        total = size + sum(numbers.wanted(rs) for rs in olds)
        grown = replicas if size > replicas else numbers.new_size(deployment, size, total)
        commands = _resize(deployment, new, grown)
        if commands:
            return commands
    commands = _resize(deployment, new, size)
    sizes = numbers.old_sizes(deployment, new, [rs for rs in olds if numbers.wanted(rs) > 0])
    shrunk = [c for rs in olds if rs["metadata"]["name"] in sizes for c in _resize(deployment, rs, _size(sizes, rs))]
    return [*commands, *shrunk]


def _size(sizes: dict[str, int], replicaset: Object) -> int:
    return sizes[replicaset["metadata"]["name"]]


def _recreate(deployment: Object, new: Object | None, olds: Sequence[Object], pods: Sequence[Object]) -> list[Command]:
    """First every old pod goes, then the new ones come."""
    shrink = [c for rs in olds if numbers.wanted(rs) > 0 for c in _resize(deployment, rs, 0)]
    if shrink:
        return shrink
    old_uids = {uid_of(rs) for rs in olds}
    if any(_owner_uid(pod) in old_uids and not is_finished(pod) for pod in pods):
        return []
    if new is None:
        return _make_new(deployment, olds)
    return _adopt_revision(deployment, new, olds) or _resize(deployment, new, deployment["spec"]["replicas"])


def _owner_uid(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def _clean_up(deployment: Object, olds: Sequence[Object]) -> list[Command]:
    """Keep revisionHistoryLimit of the empty old ReplicaSets."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    alive = [rs for rs in olds if not is_deleting(rs)]
    surplus = len(alive) - limit
    if surplus <= 0:
        return []
    oldest = sorted(alive, key=lambda rs: (templates.revision_of(rs), templates.by_age(rs)))[:surplus]
    empty = [rs for rs in oldest if not numbers.wanted(rs) and not numbers.present(rs)]
    return [Delete(REPLICASETS, key_of(rs), uid_of(rs)) for rs in empty]


# status


def _write_status(deployment: Object, new: Object | None, olds: Sequence[Object], now: float) -> list[Command]:
    fresh = status.status_of(deployment, new, olds, now)
    commands: list[Command] = []
    if fresh != (deployment.get("status") or {}):
        commands.append(Update(DEPLOYMENTS, {**deployment, "status": fresh}, "status"))
    wake = status.seconds_to_deadline(deployment, fresh, now)
    if wake is not None:
        commands.append(Requeue(wake))
    return commands
