"""What the API server does to ReplicationControllers, apps/v1, batch/v1, autoscalers and disruption budgets."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.strategy import workload_warnings
from tiphys.api.strategy.strategies import Object, Strategy

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_OLD_CONTROLLER_UID, _OLD_JOB_NAME = "controller-uid", "job-name"


def update_deployment(new: Object, old: Object) -> None:
    """A Deployment counts changes of its annotations too, since they are copied to its ReplicaSets."""
    before, after = (each["metadata"].get("annotations") or {} for each in (old, new))
    if before != after:
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def keep_spec(new: Object, old: Object) -> None:
    """A status update changes nothing else of what the object wants."""
    new["spec"] = old["spec"]


def _keep_spec_and_labels(new: Object, old: Object) -> None:
    keep_spec(new, old)
    if old["metadata"].get("labels"):
        new["metadata"]["labels"] = old["metadata"]["labels"]
    else:
        new["metadata"].pop("labels", None)


def create_daemon_set(obj: Object) -> None:
    """The generation of the template has been an annotation since it ceased to be a field."""
    annotations = obj["metadata"].setdefault("annotations", {})
    said = annotations.get(TEMPLATE_GENERATION, "")
    annotations[TEMPLATE_GENERATION] = said if said.isdigit() and int(said) > 0 else "1"


def update_daemon_set(new: Object, old: Object) -> None:
    """The client has no say in the generation of the template."""
    before = (old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "0")
    changed = new["spec"].get("template") != old["spec"].get("template")
    annotations = new["metadata"].setdefault("annotations", {})
    annotations[TEMPLATE_GENERATION] = str(int(before) + changed)


def create_job(obj: Object) -> None:
    """Unless the client selects the pods itself, they are selected by the Job's uid."""
    spec, metadata = obj["spec"], obj["metadata"]
    template = spec.setdefault("template", {})
    if template.get("metadata") is None:
        template["metadata"] = {}
    # A Job without labels has those of its template, also the ones that are only made here.
    shares_labels = metadata.get("labels") in (None, {}, template["metadata"].get("labels"))
    if not spec.get("manualSelector"):
        _generate_selector(metadata, spec)
    if shares_labels and template["metadata"].get("labels"):
        metadata["labels"] = dict(template["metadata"]["labels"])


def _generate_selector(metadata: Object, spec: Object) -> None:
    """A label that the client has set otherwise stays, and validation refuses it."""
    name, uid = metadata.get("name", ""), metadata.get("uid", "")
    labels = spec["template"]["metadata"].setdefault("labels", {})
    for key in (_OLD_JOB_NAME, JOB_NAME):
        labels.setdefault(key, name)
    for key in (_OLD_CONTROLLER_UID, CONTROLLER_UID):
        labels.setdefault(key, uid)
    spec.setdefault("selector", {}).setdefault("matchLabels", {}).setdefault(CONTROLLER_UID, uid)


def drop_unavailable(obj: Object, old: Object | None = None) -> None:
    """How many pods of a StatefulSet may be away at once: none at all would stand still for ever, and is dropped."""
    rolling = (obj["spec"].get("updateStrategy") or {}).get("rollingUpdate")
    if rolling is not None and rolling.get("maxUnavailable") in (0, "0%"):
        rolling.pop("maxUnavailable")


STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("", "replicationcontrollers"): Strategy(
        subresources={"status": keep_spec}, warnings=workload_warnings.of_named_template
    ),
    ("apps", "replicasets"): Strategy(subresources={"status": keep_spec}, warnings=workload_warnings.of_named_template),
    ("apps", "deployments"): Strategy(
        update=update_deployment,
        subresources={"status": _keep_spec_and_labels},
        warnings=workload_warnings.of_named_template,
    ),
    ("apps", "statefulsets"): Strategy(
        create=drop_unavailable,
        update=drop_unavailable,
        subresources={"status": keep_spec},
        warnings=workload_warnings.of_stateful_set,
    ),
    ("apps", "daemonsets"): Strategy(
        create=create_daemon_set,
        update=update_daemon_set,
        subresources={"status": keep_spec},
        warnings=workload_warnings.of_template,
    ),
    ("apps", "controllerrevisions"): Strategy(generation=False, has_status=False),
    ("batch", "jobs"): Strategy(
        create=create_job, subresources={"status": keep_spec}, warnings=workload_warnings.of_job
    ),
    ("batch", "cronjobs"): Strategy(subresources={"status": keep_spec}, warnings=workload_warnings.of_cron_job),
    ("policy", "poddisruptionbudgets"): Strategy(subresources={"status": keep_spec}),
    ("autoscaling", "horizontalpodautoscalers"): Strategy(subresources={"status": keep_spec}, generation=False),
}
