"""Which old pods a rolling update replaces next: as many nodes as may be without a pod, or may have a second one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.controllers.daemonset.survey import Place, Survey, staying

Object = dict[str, Any]


@dataclass(slots=True)
class Step:
    """`gone` are pods that make room for new ones, `surging` nodes that get a new one beside the old one."""

    gone: list[Object] = field(default_factory=list)
    surging: list[str] = field(default_factory=list)


def step(survey: Survey) -> Step:
    """The next step; nothing when all are new, or as many as may be are under way."""
    surge, unavailable = survey.limits()
    return _surge(survey, surge) if surge else _replace(survey, unavailable)


def _pair(survey: Survey, place: Place) -> tuple[Object | None, Object | None] | None:
    """(new pod, old pod) of a node; None while there are more than one of either."""
    pods = staying(place.pods)
    new = [pod for pod in pods if survey.is_new(pod)]
    old = [pod for pod in pods if not survey.is_new(pod)]
    if len(new) > 1 or len(old) > 1:
        return None
    return (new[0] if new else None), (old[0] if old else None)


def _relevant(survey: Survey) -> Sequence[Place]:
    """Nodes that should have a pod. One that may stay but could not begin again is not replaced."""
    return [place for place in survey.places if place.suits.begins]


def _replace(survey: Survey, unavailable: int) -> Step:
    decided, candidates, away = Step(), [], 0
    for place in _relevant(survey):
        pair = _pair(survey, place)
        new, old = pair if pair is not None else (None, None)
        if (new is None) == (old is None):
            away += 1  # without one, between an old and a new one, or to be put in order first
        elif new is not None:
            away += not survey.is_available(new)
        elif old is not None and not survey.is_available(old):
            away += 1
            decided.gone.append(old)
        elif old is not None:
            candidates.append(old)
    decided.gone += candidates[: max(unavailable - away, 0)]
    return decided


def _surge(survey: Survey, surge: int) -> Step:
    decided, candidates, surging = Step(), [], 0
    for place in _relevant(survey):
        pair = _pair(survey, place)
        if pair is None:
            surging += 1
            continue
        new, old = pair
        if old is None:
            continue
        if new is not None:
            surging += 1
        elif survey.is_available(old):
            candidates.append(place.node)
        else:
            # Nothing serves there: the new one may come at once, and the old one goes when it is there.
            decided.surging.append(place.node)
    decided.surging += candidates[: max(surge - surging, 0)]
    return decided
