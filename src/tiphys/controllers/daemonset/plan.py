"""
Decide which nodes get a DaemonSet's pod, which lose one, and which pods a rollout replaces next.

Pure: facts in, commands out. `place.py` looks at one node at a time, `rollout.py` at all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.api.objects import annotations_of, is_deleting, key_of, labels_of, name_of, uid_of
from tiphys.api.own_annotations import PAUSED
from tiphys.api.pods import is_finished, seconds_until_available
from tiphys.controllers.daemonset import place, rollout
from tiphys.controllers.daemonset.nodes import DAEMONSETS, PODS, chooser, new_pod, node_of
from tiphys.controllers.daemonset.status import status_of
from tiphys.controllers.daemonset.survey import Place, Survey
from tiphys.reconcile import history
from tiphys.reconcile.commands import Announce, Command, Create, Delete, Requeue, Update

Object = dict[str, Any]

# What one plan may start or end. The next event brings the rest.
BURST_MAX = 250


@dataclass(frozen=True, slots=True)
class Facts:
    """
    `pods` and `revisions` are those that the set owns. `waits` says for nodes whose pods failed lately from which
    moment the next failed one may be replaced.
    """

    nodes: Sequence[Object]
    pods: Sequence[Object]
    revisions: Sequence[Object]
    waits: Mapping[str, float] = field(default_factory=dict)


def plan(daemonset: Object, facts: Facts, now: float) -> list[Command]:
    """Everything that can be done now."""
    recorded = history.record(daemonset, facts.revisions, history.POD_REVISION)
    survey = _survey(daemonset, facts, labels_of(recorded.revision)[history.POD_REVISION], now)
    commands: list[Command] = []
    if not is_deleting(daemonset):
        decided = place.decide(survey, facts.waits)
        gone = [*decided.gone, *_replaced(daemonset, survey, decided)]
        create = Announce(
            daemonset, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}"
        )
        delete = Announce(
            daemonset, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}"
        )
        commands = [*recorded.commands, *decided.said]
        for node in decided.wanted[:BURST_MAX]:
            pod = new_pod(daemonset, recorded.revision, history.POD_REVISION, node)
            commands.append(Create(PODS, pod, announce=create))
        commands += [Delete(PODS, key_of(pod), uid_of(pod), announce=delete) for pod in gone[:BURST_MAX]]
        commands += _forget(daemonset, facts, recorded.revision)
        commands += [Requeue(wait) for wait in decided.waits]
    status = status_of(survey)
    if status != (daemonset.get("status") or {}):
        commands.append(Update(DAEMONSETS, {**daemonset, "status": status}, "status"))
    waits = [seconds_until_available(pod, survey.min_ready_seconds, now) for pod in facts.pods]
    return commands + ([Requeue(min(wait for wait in waits if wait))] if any(waits) else [])


def _survey(daemonset: Object, facts: Facts, revision: str, now: float) -> Survey:
    by_node: defaultdict[str, list[Object]] = defaultdict(list)
    for pod in facts.pods:
        if not (is_deleting(pod) and is_finished(pod)):
            by_node[node_of(pod)].append(pod)
    nodes = sorted(facts.nodes, key=name_of)
    suits = chooser(daemonset)
    places = [Place(name_of(node), suits(node), by_node.pop(name_of(node), [])) for node in nodes]
    # What is left is for nodes that are not there: a pod that runs there is the pod collector's.
    lost = [pod for pods in by_node.values() for pod in pods if not pod["spec"].get("nodeName")]
    return Survey(daemonset, places, lost, revision, now)


def _replaced(daemonset: Object, survey: Survey, decided: place.Decided) -> list[Object]:
    """The pods that a rollout ends; it adds to `decided` the nodes that get a second one."""
    strategy = daemonset["spec"].get("updateStrategy") or {}
    if strategy.get("type") != "RollingUpdate" or annotations_of(daemonset).get(PAUSED) == "true":
        return []
    step = rollout.step(survey)
    decided.wanted.extend(node for node in step.surging if node not in decided.wanted)
    return [pod for pod in step.gone if pod not in decided.gone]


def _forget(daemonset: Object, facts: Facts, current: Object) -> list[Command]:
    hashes = {labels_of(pod).get(history.POD_REVISION) for pod in facts.pods}
    in_use = {name_of(one) for one in facts.revisions if labels_of(one).get(history.POD_REVISION) in hashes}
    return history.surplus(daemonset, facts.revisions, in_use | {name_of(current)})
