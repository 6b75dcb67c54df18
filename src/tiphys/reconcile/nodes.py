"""Pods by their node: an index that several controllers share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

BY_NODE = "node"


def node_index(pod: dict[str, Any]) -> Iterable[str]:
    """Files a pod under the node it is bound to."""
    if pod["spec"].get("nodeName"):
        yield pod["spec"]["nodeName"]
