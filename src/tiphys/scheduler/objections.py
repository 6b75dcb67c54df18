"""What a filter says: these rows, for this reason. Whether the pods that are there matter is `curable`."""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.scheduler.nodes import Mask


@dataclass(frozen=True, slots=True)
class Objection:
    """
    `rows` cannot take the pod. Where they are `curable`, fewer pods on the node may help: preemption is worth a look.
    A True or False says it of all of them. `ends` is False where the same filter has more to say of the same rows.
    """

    reason: str
    rows: Mask
    curable: Mask | bool = True
    ends: bool = True
