"""Defaults of ReplicationControllers, of apps/v1 and of batch/v1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.api.defaults.pod_spec import set_template
from tiphys.api.defaults.volumes import set_claim_spec

Object = dict[str, Any]

REVISION_HISTORY_LIMIT = 10
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_INT32_MAX = (1 << 31) - 1


def set_replication_controller(obj: Object) -> None:
    """Labels and selector come from the template."""
    spec = obj["spec"]
    template = spec.get("template")
    labels = ((template or {}).get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)
    spec.setdefault("replicas", 1)
    set_template(template)


def set_replica_set(obj: Object) -> None:
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    set_template(spec.get("template"))


def set_deployment(obj: Object) -> None:
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", REVISION_HISTORY_LIMIT)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    set_template(spec.get("template"))


def set_stateful_set(obj: Object) -> None:
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", REVISION_HISTORY_LIMIT)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        strategy["rollingUpdate"].setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("apiVersion", "v1")
        set_claim_spec(claim.get("spec"))
        claim.setdefault("status", {}).setdefault("phase", "Pending")
    set_template(spec.get("template"))


def set_daemon_set(obj: Object) -> None:
    """The generation of the template is an annotation that is always there, and so is owned by who writes."""
    spec, metadata = obj["spec"], obj["metadata"]
    metadata["annotations"] = {TEMPLATE_GENERATION: "0", **(metadata.get("annotations") or {})}
    # A field once, which Kubernetes prints as an annotation of whoever writes the object.
    annotations = obj["metadata"].get("annotations") or {}
    obj["metadata"]["annotations"] = annotations
    annotations.setdefault("deprecated.daemonset.template.generation", "0")
    spec.setdefault("revisionHistoryLimit", REVISION_HISTORY_LIMIT)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    set_template(spec.get("template"))


def set_job(obj: Object) -> None:
    spec = obj["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _INT32_MAX if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    policy = spec.get("podFailurePolicy")
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed" if policy is None else "Failed")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(labels)
    _set_failure_policy(policy)
    set_template(spec.get("template"))


def _set_failure_policy(policy: Object | None) -> None:
    for rule in (policy or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"


def set_cron_job(obj: Object) -> None:
    spec = obj["spec"]
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    job = ((spec.get("jobTemplate") or {}).get("spec")) or {}
    _set_failure_policy(job.get("podFailurePolicy"))
    set_template(job.get("template"))


DEFAULTS: Mapping[tuple[str, str], Callable[[Object], None]] = {
    ("", "replicationcontrollers"): set_replication_controller,
    ("apps", "replicasets"): set_replica_set,
    ("apps", "deployments"): set_deployment,
    ("apps", "statefulsets"): set_stateful_set,
    ("apps", "daemonsets"): set_daemon_set,
    ("batch", "jobs"): set_job,
    ("batch", "cronjobs"): set_cron_job,
}
