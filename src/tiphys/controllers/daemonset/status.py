"""A DaemonSet's status: on how many nodes its pods should be, are, are ready and are new."""

from __future__ import annotations

from typing import Any

from tiphys.api.pods import is_ready
from tiphys.controllers.daemonset.survey import Survey, by_age
from tiphys.reconcile.history import collisions

Object = dict[str, Any]

_ALWAYS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def status_of(survey: Survey) -> Object:
    """The status as Kubernetes writes it. Of several pods on one node the oldest counts."""
    wanted = [place for place in survey.places if place.suits.begins]
    oldest = [min(place.pods, key=by_age) for place in wanted if place.pods]
    available = sum(survey.is_available(pod) for pod in oldest)
    counts = {
        "currentNumberScheduled": len(oldest),
        "numberMisscheduled": sum(bool(place.pods) and not place.suits.begins for place in survey.places),
        "desiredNumberScheduled": len(wanted),
        "numberReady": sum(is_ready(pod) for pod in oldest),
        "updatedNumberScheduled": sum(survey.is_new(pod) for pod in oldest),
        "numberAvailable": available,
        "numberUnavailable": len(wanted) - available,
    }
    status: Object = {name: count for name, count in counts.items() if count or name in _ALWAYS}
    status["observedGeneration"] = survey.daemonset["metadata"].get("generation", 1)
    held = survey.daemonset.get("status") or {}
    if collisions(survey.daemonset):
        status["collisionCount"] = collisions(survey.daemonset)
    if held.get("conditions"):
        status["conditions"] = held["conditions"]
    return status
