"""
Decide a ResourceQuota's status: its limits, and what is used of each.

Pure: the quota and what was counted go in. Only names that some kind answers to get a figure in `used`: admission
refuses creations that would use the others, because nobody can say how much is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from tiphys.api import quantity, quota, resources
from tiphys.api.resources import Resource
from tiphys.reconcile.commands import Command, Update

Object = dict[str, Any]

QUOTAS = resources.get("", "v1", "resourcequotas")


def limits_of(obj: Object) -> Mapping[str, Any]:
    return (obj.get("spec") or {}).get("hard") or {}


def count(obj: Object, objects: Mapping[Resource, Iterable[Object]], now: float) -> quota.Usage:
    """Add up what the objects of a namespace use of a quota; kinds that the quota does not name may be left out."""
    used: quota.Usage = {}
    for resource, present in objects.items():
        used |= {name: Fraction(0) for name in limits_of(obj) if quota.counts(resource, name)}
        for each in present:
            if quota.is_in_scope(obj, resource, each):
                for name, amount in quota.usage_of(resource, each, now).items():
                    if name in used:
                        used[name] += amount
    return used


def is_lower(obj: Object, counted: quota.Usage) -> bool:
    """Whether less is used than the status says: what admission has charged may still be on its way to the store."""
    held = (obj.get("status") or {}).get("used") or {}
    return any(amount < quantity.parse(str(held[name])) for name, amount in counted.items() if name in held)


def plan(obj: Object, counted: quota.Usage) -> list[Command]:
    """Write the limits and the figures where they are not what the status says."""
    hard, status = limits_of(obj), obj.get("status") or {}
    held = status.get("used")
    if status.get("hard") == hard and held is not None and _values(held) == counted:
        return []
    used = {name: quota.written(amount, str(hard[name])) for name, amount in counted.items()}
    return [Update(QUOTAS, {**obj, "status": {"hard": dict(hard), "used": used}}, "status")]


def _values(amounts: Mapping[str, Any]) -> quota.Usage:
    return {name: quantity.parse(str(text)) for name, text in amounts.items()}
