"""What one node's pods call for: one where there is none, none where there should be none, never two for long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.api.objects import name_of, namespace_of
from tiphys.api.pods import is_finished, is_ready
from tiphys.controllers.daemonset.survey import Place, Survey, staying
from tiphys.reconcile.commands import Command, Say

Object = dict[str, Any]


@dataclass(slots=True)
class Decided:
    """`wanted` are nodes that get a pod, `gone` pods that go, `waits` the seconds until failed ones may go."""

    wanted: list[str] = field(default_factory=list)
    gone: list[Object] = field(default_factory=list)
    said: list[Command] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


def decide(survey: Survey, waits: Mapping[str, float]) -> Decided:
    """For all nodes. `waits`: node → the moment from which a failed pod of it may be replaced."""
    decided = Decided(gone=staying(survey.lost))
    surge = survey.limits()[0] > 0
    for place in survey.places:
        if place.suits.begins and not place.pods:
            decided.wanted.append(place.node)
        elif not place.suits.stays:
            decided.gone += staying(place.pods)
        else:
            alive = _without_finished(survey, place, waits.get(place.node, 0.0), decided)
            decided.gone += _surplus_of_surge(survey, alive) if surge else alive[1:]
    return decided


def _without_finished(survey: Survey, place: Place, not_before: float, decided: Decided) -> list[Object]:
    """The pods that live, oldest first; those that have ended go, unless their node has to wait."""
    alive = []
    for pod in staying(place.pods):
        if not is_finished(pod):
            alive.append(pod)
        elif pod["status"]["phase"] == "Failed" and survey.now < not_before:
            decided.waits.append(not_before - survey.now)
        else:
            decided.gone.append(pod)
            decided.said.append(_tell(survey.daemonset, pod, place.node))
    return alive


def _tell(daemonset: Object, pod: Object, node: str) -> Say:
    where = f"daemon pod {namespace_of(pod)}/{name_of(pod)} on node {node}"
    if pod["status"]["phase"] == "Failed":
        return Say(daemonset, "Warning", "FailedDaemonPod", f"Found failed {where}, will try to kill it")
    return Say(daemonset, "Normal", "SucceededDaemonPod", f"Found succeeded {where}, will try to delete it")


def _surplus_of_surge(survey: Survey, alive: Sequence[Object]) -> list[Object]:
    """An old and a new pod stay side by side only while the old one serves and the new one does not yet."""
    if len(alive) < 2:
        return []
    new = [pod for pod in alive if survey.is_new(pod)]
    old = [pod for pod in alive if not survey.is_new(pod)]
    gone = [*new[1:], *old[1:]]
    if new and old and (not is_ready(old[0]) or survey.is_available(new[0])):
        gone.append(old[0])
    return gone
