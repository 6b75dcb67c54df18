"""
Decide what becomes of a rollout: it is found good, it goes back, or it stops. Pure.

Docker Swarm's rules: each new pod is watched for the monitor time; when more than the tolerated share of the wanted
pods fails, the rollout has failed. A revision is judged once: `tiphys.io/good-revision` notes the last one that came
through, which is also what a failed one goes back to, and `tiphys.io/failed-revision` the last one that did not. What
happens to pods of a good revision later is no matter of its rollout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, is_deleting, key_of, name_of, uid_of
from tiphys.api.own_annotations import FAILED_REVISION, GOOD_REVISION, PAUSED, ROLLBACK, RolloutPolicy
from tiphys.client.client import STRATEGIC_PATCH
from tiphys.controllers.rollout.facts import DEPLOYMENTS, STATEFULSETS, Earlier, Rollout
from tiphys.controllers.rollout.failures import judge
from tiphys.reconcile.commands import Announce, Command, Delete, Patch, Requeue, Say

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")


def plan(rollout: Rollout, policy: RolloutPolicy, now: float) -> list[Command]:
    """The next step of judging `rollout` as `policy` asks."""
    noted = annotations_of(rollout.workload)
    if is_deleting(rollout.workload):
        return []
    commands = _unblock(rollout) if policy.action == ROLLBACK else []
    if not rollout.revision or rollout.revision == noted.get(GOOD_REVISION):
        return commands
    verdicts = [judge(pod, policy, now) for pod in rollout.pods]
    failures = [verdict.failure for verdict in verdicts if verdict.failure]
    if rollout.stuck or len(failures) > policy.max_failure_ratio * max(rollout.desired, 1):
        return [*commands, *_fail(rollout, policy, _why(rollout, failures))]
    waits = [verdict.seconds for verdict in verdicts if verdict.seconds]
    if waits:
        commands.append(Requeue(min(waits)))
    elif rollout.complete:
        forgiven = {FAILED_REVISION: None} if noted.get(FAILED_REVISION) == rollout.revision else {}
        commands.append(_change(rollout, {GOOD_REVISION: rollout.revision, **forgiven}))
    return commands


def _why(rollout: Rollout, failures: list[str]) -> str:
    if rollout.stuck:
        return rollout.stuck
    return f"{len(failures)} of {rollout.desired} pods failed, the first: {sorted(failures)[0]}"


def _fail(rollout: Rollout, policy: RolloutPolicy, why: str) -> list[Command]:
    note = {FAILED_REVISION: rollout.revision}
    known = annotations_of(rollout.workload).get(FAILED_REVISION) == rollout.revision
    if known and (policy.action != ROLLBACK or _target(rollout) is None):
        return []  # told already; whoever goes on with it nevertheless means it
    if policy.action != ROLLBACK:
        said = _warn(rollout, "RolloutPaused", f"Paused the rollout to {rollout.revision}: {why}")
        if rollout.resource == DEPLOYMENTS:
            return [_change(rollout, note, {"paused": True}), said]
        return [_change(rollout, {**note, PAUSED: "true"}), said]
    target = _target(rollout)
    if target is None:
        text = f"The rollout to {rollout.revision} failed, and there is no revision to go back to: {why}"
        return [_change(rollout, note), _warn(rollout, "RolloutFailed", text)]
    spec = {"template": {**target.template, "$patch": "replace"}}
    text = f"Rolled back from {rollout.revision} to {target.name}: {why}"
    return [_change(rollout, note, spec), _warn(rollout, "RolloutRolledBack", text)]


def _target(rollout: Rollout) -> Earlier | None:
    """
    The last good revision; without one the newest before the present one, but only once: a workload of which nothing
    has ever come through would go round in circles.
    """
    noted = annotations_of(rollout.workload)
    good = next((one for one in rollout.earlier if one.name == noted.get(GOOD_REVISION)), None)
    if good is not None or GOOD_REVISION in noted or FAILED_REVISION in noted:
        return good
    return next(iter(rollout.earlier), None)


def _unblock(rollout: Rollout) -> list[Command]:
    """An ordered StatefulSet waits for its broken pods before it replaces them: after going back they have to go."""
    if rollout.resource != STATEFULSETS:
        return []
    text = f"delete Pod {{name}} in StatefulSet {name_of(rollout.workload)}: it is of a revision that failed"
    told = Announce(rollout.workload, "SuccessfulDelete", text, "FailedDelete", f"{text}; error: {{error}}")
    return [Delete(PODS, key_of(pod), uid_of(pod), announce=told) for pod in rollout.broken]


def _change(rollout: Rollout, annotations: Mapping[str, str | None], spec: Object | None = None) -> Patch:
    """At the very version that was judged: whoever has changed the workload since is not overruled."""
    meta = rollout.workload["metadata"]
    change: Object = {
        "metadata": {
            "uid": meta["uid"],
            "resourceVersion": meta.get("resourceVersion", ""),
            "annotations": dict(annotations),
        }
    }
    if spec is not None:
        change["spec"] = spec
    return Patch(rollout.resource, key_of(rollout.workload), change, media_type=STRATEGIC_PATCH)


def _warn(rollout: Rollout, reason: str, text: str) -> Say:
    return Say(rollout.workload, "Warning", reason, text)
