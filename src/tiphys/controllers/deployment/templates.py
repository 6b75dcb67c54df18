"""Pod templates and revisions: which ReplicaSet carries which template of a Deployment."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.own_annotations import NOTES
from tiphys.reconcile.ownership import owner_reference
from tiphys.reconcile.pod_template import HASH_LABEL, HASH_LENGTH, NAME_MAX, hash_of, same_template, without_hash

Object = dict[str, Any]

REPLICASETS = resources.get("apps", "v1", "replicasets")

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Annotations of the Deployment that its ReplicaSets do not take over. `kubectl rollout undo` puts those that they have
# in place of the Deployment's: what users say has to be there, what was noted about another revision must not.
NOT_COPIED = {LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAX, "deprecated.deployment.rollback.to", *NOTES}


def template_hash(template: Mapping[str, Any], collisions: int) -> str:
    """Ten letters that name a template; `collisions` moves on to the next name."""
    return hash_of(without_hash(template), collisions)


def find_new(deployment: Object, replicasets: Sequence[Object]) -> Object | None:
    """The oldest ReplicaSet with the Deployment's present template: two of them never compete."""
    template = deployment["spec"]["template"]
    same = [rs for rs in replicasets if same_template(rs["spec"]["template"], template)]
    return min(same, key=by_age, default=None)


def by_age(replicaset: Object) -> tuple[str, str]:
    meta = replicaset["metadata"]
    return meta.get("creationTimestamp", ""), meta["name"]


def revision_of(obj: Mapping[str, Any]) -> int:
    """The revision in the annotation; 0 when there is none."""
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def annotations_for(deployment: Object, replicaset: Object | None, revision: int) -> dict[str, str]:
    """A new ReplicaSet's annotations: the Deployment's own, the revision, and the revisions it had before."""
    held = (replicaset["metadata"].get("annotations") or {}) if replicaset is not None else {}
    copied = deployment["metadata"].get("annotations") or {}
    annotations = {**held, **{key: value for key, value in copied.items() if key not in NOT_COPIED}}
    before = held.get(REVISION)
    if before is None or int(before or 0) < revision:
        if before is not None:
            history = [part for part in held.get(REVISION_HISTORY, "").split(",") if part]
            annotations[REVISION_HISTORY] = ",".join([*history, before])
        annotations[REVISION] = str(revision)
    return annotations


def new_replicaset(deployment: Object, replicas: int, annotations: Mapping[str, str]) -> Object:
    """The ReplicaSet of the Deployment's present template."""
    meta, spec = deployment["metadata"], deployment["spec"]
    name_hash = template_hash(spec["template"], (deployment.get("status") or {}).get("collisionCount") or 0)
    template = copy.deepcopy(spec["template"])
    template_meta = template.setdefault("metadata", {})
    template_meta["labels"] = {**(template_meta.get("labels") or {}), HASH_LABEL: name_hash}
    selector = copy.deepcopy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: name_hash}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name'][: NAME_MAX - HASH_LENGTH - 1]}-{name_hash}",
            "namespace": meta["namespace"],
            "labels": template_meta["labels"],
            "annotations": dict(annotations),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "selector": selector,
            "template": template,
            **({"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}),
        },
    }
