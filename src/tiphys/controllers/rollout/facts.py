"""A rollout of any kind of workload, seen the same: where it goes, its pods, and where it could go back to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, condition_of, is_deleting, labels_of, name_of, uid_of
from tiphys.api.own_annotations import FAILED_REVISION
from tiphys.api.pods import is_ready
from tiphys.api.resources import Resource
from tiphys.reconcile import history
from tiphys.reconcile.history import POD_REVISION
from tiphys.reconcile.pod_template import same_template, without_hash

Object = dict[str, Any]

DEPLOYMENTS = resources.get("apps", "v1", "deployments")
STATEFULSETS = resources.get("apps", "v1", "statefulsets")
DAEMONSETS = resources.get("apps", "v1", "daemonsets")

REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Earlier:
    """A revision that is not the present one, by the name of the object that keeps it."""

    name: str
    template: Object


@dataclass(frozen=True, slots=True)
class Rollout:
    """
    `revision` names the present one, "" while nothing records it. `pods` are those of it that stay, `broken` those that
    stand in the way of going back. `stuck` says why there will be no progress. `earlier` is newest first.
    """

    resource: Resource
    workload: Object
    revision: str
    pods: Sequence[Object]
    desired: int
    complete: bool
    stuck: str = ""
    earlier: Sequence[Earlier] = ()
    broken: Sequence[Object] = ()


def of_deployment(deployment: Object, replicasets: Sequence[Object], pods: Sequence[Object]) -> Rollout:
    """`replicasets` are the Deployment's, `pods` theirs."""
    template, replicas = deployment["spec"]["template"], int(deployment["spec"]["replicas"])
    ordered = sorted(replicasets, key=_revision_of, reverse=True)
    new = next((rs for rs in ordered if same_template(rs["spec"]["template"], template)), None)
    status = deployment.get("status") or {}
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    progressing = condition_of(deployment, "Progressing") or {}
    mine = [pod for pod in pods if new is not None and _owner(pod) == uid_of(new) and not is_deleting(pod)]
    over = progressing.get("reason") == "ProgressDeadlineExceeded" and _is_observed(deployment)
    waits = any(pod["spec"].get("schedulingGates") for pod in mine)  # for something that is no matter of the rollout
    return Rollout(
        DEPLOYMENTS,
        deployment,
        name_of(new) if new is not None else "",
        mine,
        replicas,
        _is_observed(deployment) and counts == [replicas] * 3,
        "its progress deadline is exceeded" if over and not waits else "",
        [Earlier(name_of(rs), without_hash(rs["spec"]["template"])) for rs in ordered if rs is not new],
    )


def of_set(resource: Resource, owner: Object, revisions: Sequence[Object], pods: Sequence[Object]) -> Rollout:
    """The same of a StatefulSet or DaemonSet."""
    ordered = sorted(revisions, key=history.by_number, reverse=True)
    present = next((one for one in ordered if one["data"] == history.patch_of(owner)), None)
    status, spec = owner.get("status") or {}, owner["spec"]
    if resource == STATEFULSETS:
        desired = int(spec["replicas"])
        complete = status.get("currentRevision") == status.get("updateRevision") and _all_of(status, desired)
    else:
        desired = int(status.get("desiredNumberScheduled", 0))
        counts = [status.get(name, 0) for name in ("updatedNumberScheduled", "numberAvailable")]
        complete = counts == [desired] * 2
    staying = [pod for pod in pods if not is_deleting(pod)]
    failed = annotations_of(owner).get(FAILED_REVISION)
    former = next((one for one in ordered if name_of(one) == failed and one is not present), None)
    return Rollout(
        resource,
        owner,
        name_of(present) if present is not None else "",
        [pod for pod in staying if present is not None and _is_of(pod, present)],
        desired,
        complete and _is_observed(owner),
        earlier=[Earlier(name_of(one), history.template_of(one)) for one in ordered if one is not present],
        broken=[pod for pod in staying if former is not None and _is_of(pod, former) and not is_ready(pod)],
    )


def _all_of(status: Object, desired: int) -> bool:
    return all(status.get(name, 0) == desired for name in ("replicas", "updatedReplicas", "availableReplicas"))


def _is_observed(obj: Object) -> bool:
    return bool((obj.get("status") or {}).get("observedGeneration", 0) >= obj["metadata"].get("generation", 1))


def _is_of(pod: Object, revision: Object) -> bool:
    """A StatefulSet's pods say the name of their revision, a DaemonSet's its hash."""
    said = labels_of(pod).get(POD_REVISION)
    return said in (name_of(revision), labels_of(revision).get(POD_REVISION, ""))


def _owner(pod: Object) -> str:
    return next((o["uid"] for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), "")


def _revision_of(replicaset: Object) -> tuple[int, str]:
    text = annotations_of(replicaset).get(REVISION, "0")
    return int(text) if text.isdigit() else 0, name_of(replicaset)
