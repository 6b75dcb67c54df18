"""What a node keeps from pods, and when pods give way: options that are checked before anything is started."""

from __future__ import annotations

from tiphys.api import quantity
from tiphys.cluster.settings import Settings
from tiphys.node.pressure import thresholds

RESOURCES = ("cpu", "memory", "ephemeral-storage")


def system_reserved(text: str) -> dict[str, int]:
    """`cpu=200m,memory=512Mi` as milli-CPU and bytes. ValueError with what is wrong."""
    found = {}
    for word in filter(None, text.split(",")):
        name, _, amount = word.partition("=")
        if name not in RESOURCES or not quantity.is_valid(amount) or amount.startswith("-"):
            raise ValueError(f'"{word}" reserves nothing: write it like memory=512Mi; there are {", ".join(RESOURCES)}')
        found[name] = quantity.milli(amount) if name == "cpu" else quantity.value(amount)
    return found


def check(settings: Settings) -> None:
    """ValueError with what a node could not begin with."""
    system_reserved(settings.system_reserved)
    thresholds.parse(settings.eviction_hard, settings.eviction_soft, settings.eviction_soft_grace_period)
