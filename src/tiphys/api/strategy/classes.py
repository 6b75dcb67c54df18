"""Kinds that begin in a way of their own: a generation that nothing follows, an APIService that is available."""

from __future__ import annotations

from tiphys.api.strategy.keeping import keep_all_but_status_proper
from tiphys.api.strategy.strategies import Object, Strategy


def begin(new: Object) -> None:
    """A first generation that nothing follows."""
    new["metadata"]["generation"] = 1


def available(new: Object) -> None:
    """A group that is served here, by no service elsewhere, needs no probe."""
    if (new.get("spec") or {}).get("service") is None:
        condition = {"type": "Available", "status": "True", "lastTransitionTime": new["metadata"]["creationTimestamp"]}
        told = {"reason": "Local", "message": "Local APIServices are always available"}
        new["status"] = {"conditions": [condition | told]}


STRATEGIES = {
    ("scheduling.k8s.io", "priorityclasses"): Strategy(create=begin, generation=False, has_status=False),
    ("resource.k8s.io", "deviceclasses"): Strategy(has_status=False),
    ("resource.k8s.io", "resourceslices"): Strategy(has_status=False),
    ("apiregistration.k8s.io", "apiservices"): Strategy(
        create=available, subresources={"status": keep_all_but_status_proper}, generation=False
    ),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): Strategy(subresources={"status": keep_all_but_status_proper}),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): Strategy(
        subresources={"status": keep_all_but_status_proper}
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"): Strategy(
        subresources={"status": keep_all_but_status_proper}
    ),
}
