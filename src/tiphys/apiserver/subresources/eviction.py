"""
`pods/eviction`: delete a pod unless a PodDisruptionBudget forbids it.

The budget is written first (one disruption less, the pod noted as disrupted), so that two evictions at once cannot both
use the last allowed disruption.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tiphys.api import errors, selectors
from tiphys.api.objects import condition_of, timestamp
from tiphys.api.resources import get as resource_of
from tiphys.apiserver import answers
from tiphys.apiserver.call import Call, Object
from tiphys.apiserver.negotiation import Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record
from tiphys.apiserver.registry import body, meta
from tiphys.apiserver.registry.delete import DeleteOptions, delete_record
from tiphys.apiserver.registry.get import current
from tiphys.apiserver.registry.options import write_options
from tiphys.apiserver.registry.rewrite import rewrite
from tiphys.apiserver.routing import Route
from tiphys.wire.messages import Response

PODS = resource_of("", "v1", "pods")
# A budget whose controller has not caught up forgets nobody beyond this.
DISRUPTED_PODS_MAX = 2000
RETRY_SECONDS = 10
_TEXT = "Cannot evict pod as it would violate the pod's disruption budget."
_TARGET: Object = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}
_CREATED: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def evict(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """POST pods/NAME/eviction."""
    assert call.resource is not None
    options = write_options("CreateOptions", route.query)
    eviction = body.decode_object(call, call.resource, options, versions=("policy/v1", "policy/v1beta1"))
    if eviction["metadata"].get("name", "") != route.name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    meta.check_namespace(call.resource, eviction, route.namespace)
    wanted = _delete_options(eviction.get("deleteOptions") or {}, dry_run=options.dry_run)
    record = await current(parts, call, route)
    pod = record.object
    if not _is_free(pod):
        await _spend_budget(parts, pod, dry_run=wanted.dry_run)
    if not wanted.dry_run:
        record, wanted = await _announced(parts, record, wanted)
    as_delete = dataclasses.replace(call, resource=PODS, subresource="")
    await delete_record(parts, as_delete, record, wanted)
    return answers.of_status(_CREATED, form)


async def _announced(parts: Parts, record: Record, wanted: DeleteOptions) -> tuple[Record, DeleteOptions]:
    """The pod with the condition that tells why it goes; a precondition on its version moves along."""
    meta = record.object["metadata"]
    if wanted.uid not in ("", meta["uid"]) or wanted.revision not in ("", meta["resourceVersion"]):
        return record, wanted
    now = timestamp(parts.now())

    def announce(pod: Object) -> None:
        status = pod.setdefault("status", {})
        others = [each for each in status.get("conditions") or () if each["type"] != _TARGET["type"]]
        held = condition_of(pod, _TARGET["type"])
        since = held["lastTransitionTime"] if held is not None and held["status"] == "True" else now
        status["conditions"] = [*others, {**_TARGET, "lastProbeTime": None, "lastTransitionTime": since}]

    marked = await rewrite(parts, PODS, meta["namespace"], meta["name"], announce)
    version = str(marked.revision) if wanted.revision else ""
    return marked, dataclasses.replace(wanted, revision=version)


def _delete_options(raw: Mapping[str, Any], *, dry_run: bool) -> DeleteOptions:
    preconditions = raw.get("preconditions") or {}
    return DeleteOptions(
        dry_run=dry_run or bool(raw.get("dryRun")),
        grace_seconds=raw.get("gracePeriodSeconds"),
        policy=raw.get("propagationPolicy") or "",
        orphan_dependents=raw.get("orphanDependents"),
        uid=preconditions.get("uid") or "",
        revision=preconditions.get("resourceVersion") or "",
        raw=raw,
    )


def _is_free(pod: Object) -> bool:
    """Pods that are finished, going, or that never ran need no budget."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


async def _spend_budget(parts: Parts, pod: Object, *, dry_run: bool) -> None:
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    budgets = [
        budget
        for budget in parts.cache.list("policy", "poddisruptionbudgets", metadata["namespace"])
        if selectors.from_label_selector((budget.get("spec") or {}).get("selector")).matches(labels)
    ]
    if len(budgets) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise errors.failure(500, "", text)
    if not budgets:
        return
    budget = budgets[0]
    ready = (condition_of(pod, "Ready") or {}).get("status") == "True"
    if not ready and _may_evict_unhealthy(budget):
        return
    now = timestamp(parts.now())
    await rewrite(
        parts,
        resource_of("policy", "v1", "poddisruptionbudgets"),
        metadata["namespace"],
        budget["metadata"]["name"],
        lambda newest: _decrement(newest, metadata["name"], now),
        dry_run=dry_run,
    )


def _may_evict_unhealthy(budget: Object) -> bool:
    status = budget.get("status") or {}
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    return int(status.get("currentHealthy", 0)) >= int(status.get("desiredHealthy", 0)) > 0


def _decrement(budget: Object, pod_name: str, now: str) -> None:
    name, status = budget["metadata"]["name"], budget.setdefault("status", {})
    if int(status.get("observedGeneration", 0)) < int(budget["metadata"].get("generation", 0)):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", RETRY_SECONDS)
    allowed = int(status.get("disruptionsAllowed", 0))
    if allowed < 0:
        raise errors.forbidden("poddisruptionbudgets", "policy", name, "pdb disruptions allowed is negative")
    disrupted = status.get("disruptedPods") or {}
    if len(disrupted) > DISRUPTED_PODS_MAX:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("poddisruptionbudgets", "policy", name, why)
    if allowed == 0:
        desired, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _refused(f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently", 0)
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**disrupted, pod_name: now}


def _refused(why: str, retry_seconds: int) -> errors.StatusError:
    details: Object = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_seconds:
        details["retryAfterSeconds"] = retry_seconds
    return errors.failure(429, "TooManyRequests", _TEXT, details=details)
