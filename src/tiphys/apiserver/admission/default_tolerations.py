"""
DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable, unless it says else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, on
from tiphys.apiserver.call import Attributes

SECONDS = 300
KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
NO_EXECUTE = "NoExecute"


def plugin() -> Plugin:
    """Pods at creation and at updates."""

    def mutate(attributes: Attributes) -> None:
        pod = attributes.object
        if pod is None:
            return
        said: Sequence[Mapping[str, Any]] = pod["spec"].get("tolerations") or ()
        added = [_toleration(key) for key in KEYS if not any(_tolerates(each, key) for each in said)]
        if added:
            pod["spec"]["tolerations"] = [*said, *added]

    return Plugin("DefaultTolerationSeconds", on((CREATE, UPDATE), ("", "pods")), mutate)


def _tolerates(toleration: Mapping[str, Any], key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", NO_EXECUTE)


def _toleration(key: str) -> dict[str, Any]:
    return {"key": key, "operator": "Exists", "effect": NO_EXECUTE, "tolerationSeconds": SECONDS}
