"""Decide which of a Job's pods are ended, because it is suspended, over, or runs too many. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from tiphys.controllers.job.new_pods import missing
from tiphys.controllers.job.tally import Tally, in_range, is_indexed
from tiphys.controllers.job.view import View
from tiphys.reconcile.replicas import cheapest_to_lose

Object = dict[str, Any]

DELETES_PER_PLAN_MAX = 500


def surplus(job: Object, counts: Tally) -> list[View]:
    """Pods of the same index as another one or of none first, then the cheapest to lose."""
    excess = max(-missing(job, counts), 0)
    needless = _without_use(job, counts.active) if is_indexed(job) else []
    if len(needless) < excess:
        held = {view.uid for view in needless}
        needless += _by_cost([view for view in counts.active if view.uid not in held])[: excess - len(needless)]
    return needless[:DELETES_PER_PLAN_MAX]


def _without_use(job: Object, active: Sequence[View]) -> list[View]:
    """Pods of indexes that there are not, and all but the most precious one of each index."""
    found = [view for view in active if not in_range(job, view)]
    by_index: defaultdict[int, list[View]] = defaultdict(list)
    for view in active:
        if in_range(job, view):
            by_index[view.index].append(view)
    for views in by_index.values():
        found += _by_cost(views)[:-1]
    return found


def _by_cost(views: Sequence[View]) -> list[View]:
    crowd = Counter(view.pod["spec"].get("nodeName", "") for view in views)
    return sorted(views, key=lambda view: cheapest_to_lose(view.pod, crowd[view.pod["spec"].get("nodeName", "")]))
