"""An absolute number or a percentage: how much of a whole may surge or be away."""

from __future__ import annotations

import math


def resolve(value: int | str, total: int, *, up: bool) -> int:
    """An absolute number, or a percentage of `total` rounded up or down."""
    if isinstance(value, int):
        return value
    share = total * int(value.rstrip("%")) / 100
    return math.ceil(share) if up else math.floor(share)
