"""
The machine goes down: pods end in turns, by priority, each turn within its share of the time. Pure but for `carry_out`.

The kubelet is told of that by systemd; here by whoever calls `NodeAgent.shut_down`, on a machine of whatever init.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.node.pod import spec
from tiphys.node.pod.facts import Ending
from tiphys.node.pod.worker import PodWorker

Pod = Mapping[str, Any]

REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."
NOT_READY = "node is shutting down"
REFUSED_REASON, REFUSED_MESSAGE = "NodeShutdown", "Pod was rejected as the node is shutting down."
CRITICAL_PRIORITY = 2_000_000_000
# After its grace a pod is killed; that takes a moment, and the API is to hear of it.
KILL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Pods of `priority` and above, up to the next turn's, and how long they have."""

    priority: int
    seconds: float


def turns(total_seconds: float, critical_seconds: float) -> tuple[Turn, ...]:
    """As shutdownGracePeriod and shutdownGracePeriodCriticalPods say it: the second is a part of the first."""
    if total_seconds <= 0:
        return ()
    critical = min(critical_seconds, total_seconds)
    return (Turn(0, total_seconds - critical), Turn(CRITICAL_PRIORITY, critical))


def groups(pods: Sequence[Pod], order: Sequence[Turn]) -> list[tuple[Turn, list[Pod]]]:
    """The turns that have pods, lowest priority first. Pods below the lowest turn are in it."""
    found: dict[Turn, list[Pod]] = {turn: [] for turn in sorted(order, key=lambda turn: turn.priority)}
    for pod in pods:
        priority = int(pod["spec"].get("priority") or 0)
        below = [turn for turn in found if turn.priority <= priority]
        found[below[-1] if below else next(iter(found))].append(pod)
    return [(turn, some) for turn, some in found.items() if some]


def ending(pod: Pod, turn: Turn, now: float) -> Ending:
    """The pod's own grace, but no more than its turn has."""
    return Ending(now + min(spec.grace_seconds(pod), turn.seconds), REASON, MESSAGE)


async def carry_out(workers: Sequence[PodWorker], order: Sequence[Turn], now: Callable[[], float]) -> None:
    """End every pod. Returns when all have ended, or their time is over."""
    by_uid = {worker.state.pod["metadata"]["uid"]: worker for worker in workers if not worker.state.torn_down}
    for turn, pods in groups([worker.state.pod for worker in by_uid.values()], order):
        mine = [by_uid[pod["metadata"]["uid"]] for pod in pods]
        for worker in mine:
            worker.end(ending(worker.state.pod, turn, now()))
        try:
            async with asyncio.timeout(turn.seconds + KILL_SECONDS):
                await asyncio.gather(*(worker.ended() for worker in mine))
        except TimeoutError:
            continue  # the next turn has its time all the same
