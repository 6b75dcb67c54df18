"""Pods by the claims that they use: an index that several controllers share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api.objects import namespace_of
from tiphys.api.storage import claim_names

BY_CLAIM = "claim"


def claim_index(pod: dict[str, Any]) -> Iterable[str]:
    """Files a pod under `namespace/claim` of each claim that it uses."""
    for name in claim_names(pod):
        yield f"{namespace_of(pod)}/{name}"
