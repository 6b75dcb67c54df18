"""TaintNodesByCondition: a new node takes no pods until its agent has said that it is ready."""

from __future__ import annotations

from tiphys.apiserver.admission.chain import CREATE, Plugin, on
from tiphys.apiserver.call import Attributes

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def plugin() -> Plugin:
    """Nodes at creation."""

    def mutate(attributes: Attributes) -> None:
        if attributes.object is None:
            return
        spec = attributes.object.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(each.get("key") == NOT_READY["key"] and each.get("effect") == "NoSchedule" for each in taints):
            spec["taints"] = [*taints, dict(NOT_READY)]

    return Plugin("TaintNodesByCondition", on((CREATE,), ("", "nodes")), mutate)
