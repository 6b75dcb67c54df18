"""
Which pods have to go so that a more important one finds room.

Pure: on each node that refuses the pod for what is there, take away all that is less important, and put back whatever
fits beside the pod, the most important first; pods that a disruption budget protects are put back before all others.
The node is taken where the least is lost. Nobody goes from a node where that would not help.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiphys.api.objects import condition_of, is_deleting, labels_of, name_of, namespace_of, parse_timestamp
from tiphys.api.selectors import from_label_selector
from tiphys.scheduler.decide import Refusal, fits_along_with_promised, reasons_at
from tiphys.scheduler.ledger import Placed
from tiphys.scheduler.state import Asks, State

Object = dict[str, Any]

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
NEVER = "not eligible due to preemptionPolicy=Never."
UNDER_WAY = "not eligible due to a terminating pod on the nominated node."
BY_SCHEDULER = "PreemptionByScheduler"

# Candidates that are enough to choose from. Kubernetes takes a tenth of the nodes where that is more; here the API's
# callers wait while it is tried.
CANDIDATES_MAX = 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, who has to go there (the most important first), and how many of them a disruption budget protects."""

    node: str
    victims: tuple[Placed, ...]
    violations: int


def preempt(state: State, asks: Asks, refusal: Refusal, budgets: Sequence[Object], start: float) -> Candidate | str:
    """
    Where to make room, or what Kubernetes says if it cannot be done. `start` in [0, 1) is where among the nodes the
    search begins.
    """
    why_not = _ineligible(state, asks, refusal)
    if why_not:
        return why_not
    table = state.table
    curable = int(np.count_nonzero(refusal.curable))
    rows = np.flatnonzero(refusal.curable & state.world.priorities.below(asks.priority)).tolist()
    told = Counter({NOT_HELPFUL: len(table) - curable, NO_VICTIMS: curable - len(rows)})
    offset = int(start * len(rows))
    candidates: list[Candidate] = []
    for row in rows[offset:] + rows[:offset]:
        found = _try(state, asks, row, budgets)
        if isinstance(found, Candidate):
            candidates.append(found)
            if len(candidates) >= CANDIDATES_MAX:
                break
        else:
            told.update(found)
    if candidates:
        return min(candidates, key=_loss)
    return Refusal(len(table), tuple(item for item in told.items() if item[1])).message


def _ineligible(state: State, asks: Asks, refusal: Refusal) -> str:
    """Whether the pod may preempt, and has not done so just now; "" if it may."""
    if asks.pod["spec"].get("preemptionPolicy") == "Never":
        return NEVER
    node = state.nominations.node_of(asks.pod["metadata"]["uid"])
    row = state.table.row_of.get(node)
    if row is None or not refusal.curable[row]:
        return ""
    below = (placed for placed in state.ledger.on(node) if placed.priority < asks.priority)
    return UNDER_WAY if any(p.uid in state.nominations.victims or _was_preempted(p.pod) for p in below) else ""


def _was_preempted(pod: Object) -> bool:
    condition = condition_of(pod, "DisruptionTarget")
    return is_deleting(pod) and condition is not None and condition.get("reason") == BY_SCHEDULER


def _try(state: State, asks: Asks, row: int, budgets: Sequence[Object]) -> Candidate | list[str]:
    """Who has to go from one row, or why it would not help."""
    node = state.table.objects[row]
    assert node is not None
    name = node["metadata"]["name"]
    less_important = sorted((p for p in state.ledger.on(name) if p.priority < asks.priority), key=importance)
    violating, others = split_by_budgets(less_important, budgets)
    victims: list[Placed] = []
    with state.ledger.without(less_important), ExitStack() as put_back:
        if not fits_along_with_promised(state, asks, row):
            return reasons_at(state, asks, row)
        for placed in violating + others:
            attempt = put_back.enter_context(ExitStack())
            attempt.enter_context(state.ledger.along_with([placed]))
            if not fits_along_with_promised(state, asks, row):
                attempt.close()
                victims.append(placed)
    if not victims:
        return [NO_VICTIMS]
    return Candidate(name, tuple(sorted(victims, key=importance)), sum(p in violating for p in victims))


def importance(placed: Placed) -> tuple[int, float]:
    """Higher priority first, then who has been running for longer."""
    started = (placed.pod.get("status") or {}).get("startTime")
    return -placed.priority, parse_timestamp(started) if started else np.inf


def _loss(candidate: Candidate) -> tuple[float, ...]:
    """Smallest is best: budgets, the most important victim, all of them, how many, and how long they have run."""
    priorities = [placed.priority for placed in candidate.victims]
    highest = max(priorities, default=0)
    # The sum is of numbers above zero, so that fewer victims of a negative priority are better than more.
    total = sum(priority + 2**31 for priority in priorities)
    starts = [importance(p)[1] for p in candidate.victims if p.priority == highest]
    return candidate.violations, highest, total, len(priorities), -min(starts, default=0.0)


def split_by_budgets(pods: Iterable[Placed], budgets: Sequence[Object]) -> tuple[list[Placed], list[Placed]]:
    """Those whose going would break a disruption budget, and the others."""
    allowed = [int((budget.get("status") or {}).get("disruptionsAllowed") or 0) for budget in budgets]
    violating: list[Placed] = []
    others: list[Placed] = []
    for placed in pods:
        breaks = False
        for index, budget in enumerate(budgets):
            if _protects(budget, placed.pod):
                allowed[index] -= 1
                breaks = breaks or allowed[index] < 0
        (violating if breaks else others).append(placed)
    return violating, others


def _protects(budget: Object, pod: Object) -> bool:
    if namespace_of(budget) != namespace_of(pod) or name_of(pod) in (budget.get("status") or {}).get(
        "disruptedPods", ()
    ):
        return False
    selector = from_label_selector(budget["spec"].get("selector"))
    return not selector.is_empty and selector.matches(labels_of(pod))
