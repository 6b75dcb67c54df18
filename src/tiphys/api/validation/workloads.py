"""ReplicationControllers and the kinds of apps/v1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.claims import claim_template_errors
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.internal import internal
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import (
    above_hundred_errors,
    negative_errors,
    selector_errors,
)
from tiphys.api.validation.workload_spec import (
    MISMATCH,
    immutable_errors,
    living_template_errors,
    mismatch_errors,
    more_errors,
    rolling_errors,
    selected_template_errors,
    template_labels,
    unavailable_errors,
)

_REPLICA_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
_SET_CHANGEABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "minReadySeconds",
    "persistentVolumeClaimRetentionPolicy",
)  # fmt: skip
_SET_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_DAEMON_COUNTS = (
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
    "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
)  # fmt: skip


def replication_controller(obj: Object) -> list[FieldError]:
    """A ReplicationController, whose selector is a plain map."""
    spec = obj["spec"]
    errors = negative_errors(spec, "spec.", "minReadySeconds")
    selector = spec.get("selector") or {}
    if not selector:
        errors.append(required("spec.selector"))
    errors += negative_errors(spec, "spec.", "replicas")
    if spec.get("template") is None:
        return [*errors, required("spec.template")]
    labels = template_labels(spec)
    if any((labels or {}).get(key) != value for key, value in selector.items()):
        errors.append(invalid("spec.template.metadata.labels", labels, MISMATCH))
    return errors + living_template_errors(spec, "ReplicationController")


def _replication_controller_update(new: Object, old: Object) -> list[FieldError]:
    return replication_controller(new)


def replica_status(new: Object, old: Object) -> list[FieldError]:
    """The counts of a ReplicaSet or ReplicationController."""
    status = new.get("status") or {}
    errors = negative_errors(status, "status.", *_REPLICA_COUNTS)
    parts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    errors += more_errors(status, "replicas", parts)
    return errors + more_errors(status, "readyReplicas", ("availableReplicas",), "readyReplicas")


def replica_set(obj: Object) -> list[FieldError]:
    """A ReplicaSet."""
    spec = obj["spec"]
    errors = negative_errors(spec, "spec.", "replicas", "minReadySeconds")
    return errors + selected_template_errors(spec, "ReplicaSet", "deployment", "invalid label selector")


def _replica_set_update(new: Object, old: Object) -> list[FieldError]:
    return replica_set(new) + immutable_errors(new["spec"], old["spec"], "selector")


def deployment(obj: Object) -> list[FieldError]:
    """A Deployment."""
    spec = obj["spec"]
    errors = negative_errors(spec, "spec.", "replicas")
    errors += selected_template_errors(spec, "ReplicaSet", "deployment", "invalid label selector")
    errors += _deployment_strategy_errors(spec.get("strategy") or {})
    errors += negative_errors(spec, "spec.", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def _deployment_strategy_errors(strategy: Mapping[str, Any]) -> list[FieldError]:
    kind, path = strategy.get("type"), "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden(path, text)] if "rollingUpdate" in strategy else []
    if kind != "RollingUpdate":
        shown = internal(strategy, "apps.v1.DeploymentStrategy", "type", "rollingUpdate")
        return [not_supported("spec.strategy", shown, ("Recreate", "RollingUpdate"))]
    rolling = strategy.get("rollingUpdate")
    if rolling is None:
        return [required(path, "this should be defaulted and never be nil")]
    errors, some_unavailable, some_surge = rolling_errors(rolling, path)
    if not some_unavailable and not some_surge:
        text = "may not be 0 when `maxSurge` is 0"
        errors.append(invalid(f"{path}.maxUnavailable", rolling.get("maxUnavailable", 0), text))
    return errors + unavailable_errors(rolling, path)


def _deployment_update(new: Object, old: Object) -> list[FieldError]:
    return deployment(new) + immutable_errors(new["spec"], old["spec"], "selector")


def deployment_status(new: Object, old: Object) -> list[FieldError]:
    """The counts of a Deployment."""
    status, before = new.get("status") or {}, old.get("status") or {}
    counts = (
        "observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
        "unavailableReplicas", "terminatingReplicas", "collisionCount",
    )  # fmt: skip
    errors = negative_errors(status, "status.", *counts)
    errors += more_errors(status, "replicas", ("updatedReplicas", "readyReplicas", "availableReplicas"))
    errors += more_errors(status, "readyReplicas", ("availableReplicas",), "readyReplicas")
    return errors + _collision_errors(status, before)


def _collision_errors(status: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    now, was = status.get("collisionCount"), before.get("collisionCount")
    if was is None or (now is not None and now >= was):
        return []
    return [invalid("status.collisionCount", now or 0, "cannot be decremented")]


def stateful_set(obj: Object) -> list[FieldError]:
    """A StatefulSet; its claims are volumes that the template's containers may mount."""
    spec = obj["spec"]
    errors = _management_errors(spec)
    errors += _set_strategy_errors(spec.get("updateStrategy") or {})
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        if retention.get(name) not in ("Retain", "Delete"):
            path = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
            errors.append(not_supported(path, retention.get(name, ""), ("Retain", "Delete"), is_set=False))
    claims = spec.get("volumeClaimTemplates") or ()
    for index, claim in enumerate(claims):
        errors += claim_template_errors(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
    errors += negative_errors(spec, "spec.", "replicas", "minReadySeconds")
    errors += negative_errors(spec.get("ordinals") or {}, "spec.ordinals.", "start")
    if spec.get("serviceName"):
        errors += [
            invalid("spec.serviceName", spec["serviceName"], each) for each in names.dns_label(spec["serviceName"])
        ]
    mounted = {**spec, "template": _with_claims(spec.get("template") or {}, claims)} if claims else spec
    return errors + selected_template_errors(mounted, "StatefulSet", "statefulset", "")


def _management_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    policy = spec.get("podManagementPolicy")
    if not policy:
        return [required("spec.podManagementPolicy")]
    known = policy in ("OrderedReady", "Parallel")
    return [] if known else [invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")]


def _set_strategy_errors(strategy: Mapping[str, Any]) -> list[FieldError]:
    kind, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.updateStrategy"
    if kind == "RollingUpdate":
        where = f"{path}.rollingUpdate"
        errors = negative_errors(rolling or {}, f"{where}.", "partition")
        return errors + rolling_errors(rolling or {}, where)[0] + unavailable_errors(rolling or {}, where)
    if kind == "OnDelete":
        if rolling is None:
            return []
        shown = internal(rolling, "apps.v1.RollingUpdateStatefulSetStrategy", "partition", "maxUnavailable")
        return [invalid(f"{path}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")]
    if not kind:
        return [required(path)]
    shown = internal(strategy, "apps.v1.StatefulSetUpdateStrategy", "type", "rollingUpdate")
    return [invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")]


def _with_claims(template: Mapping[str, Any], claims: Any) -> dict[str, Any]:
    """The template with a volume for each claim, which takes the place of a volume of its name."""
    own = [claim.get("metadata", {}).get("name", "") for claim in claims]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in own]
    pod = template.get("spec") or {}
    volumes += [volume for volume in pod.get("volumes") or () if volume.get("name") not in own]
    return {**template, "spec": {**pod, "volumes": volumes}}


def _stateful_set_update(new: Object, old: Object) -> list[FieldError]:
    errors = stateful_set(new)
    after, before = (
        {name: value for name, value in each["spec"].items() if name not in _SET_CHANGEABLE} for each in (new, old)
    )
    return errors + ([forbidden("spec", _SET_FORBIDDEN)] if after != before else [])


def stateful_set_status(new: Object, old: Object) -> list[FieldError]:
    """The counts of a StatefulSet."""
    status, before = new.get("status") or {}, old.get("status") or {}
    parts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    errors = negative_errors(status, "status.", "replicas", *parts, "observedGeneration", "collisionCount")
    errors += more_errors(status, "replicas", parts)
    errors += more_errors(status, "readyReplicas", ("availableReplicas",))
    return errors + _collision_errors(status, before)


def daemon_set(obj: Object) -> list[FieldError]:
    """A DaemonSet."""
    spec = obj["spec"]
    selector = spec.get("selector")
    errors = selector_errors(selector, "spec.selector")
    if not errors:
        errors += mismatch_errors(spec)
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid("spec.selector", {}, "empty selector is invalid for daemonset"))
    errors += living_template_errors(spec, "DaemonSet")
    errors += negative_errors(spec, "spec.", "minReadySeconds")
    errors += _daemon_strategy_errors(spec.get("updateStrategy") or {})
    return errors + negative_errors(spec, "spec.", "revisionHistoryLimit")


def _daemon_strategy_errors(strategy: Mapping[str, Any]) -> list[FieldError]:
    kind, path = strategy.get("type"), "spec.updateStrategy.rollingUpdate"
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = internal(strategy, "apps.v1.DaemonSetUpdateStrategy", "type", "rollingUpdate")
        return [not_supported("spec.updateStrategy", shown, ("RollingUpdate", "OnDelete"), is_set=False)]
    rolling = strategy.get("rollingUpdate")
    if rolling is None:
        return [required(path)]
    errors, some_unavailable, some_surge = rolling_errors(rolling, path)
    errors += unavailable_errors(rolling, path)
    errors += above_hundred_errors(rolling.get("maxSurge", 0), f"{path}.maxSurge")
    if some_unavailable and some_surge:
        text = "may not be set when maxUnavailable is non-zero"
        errors.append(invalid(f"{path}.maxSurge", rolling["maxSurge"], text))
    elif not some_unavailable and not some_surge:
        errors.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


def _daemon_set_update(new: Object, old: Object) -> list[FieldError]:
    return daemon_set(new) + immutable_errors(new["spec"], old["spec"], "selector")


def daemon_set_status(new: Object, old: Object) -> list[FieldError]:
    """The counts of a DaemonSet."""
    status, before = new.get("status") or {}, old.get("status") or {}
    return negative_errors(status, "status.", *_DAEMON_COUNTS) + _collision_errors(status, before)


def controller_revision(obj: Object) -> list[FieldError]:
    """A ControllerRevision."""
    errors = [] if obj.get("data") is not None else [required("data", "data is mandatory")]
    return errors + negative_errors(obj, "", "revision")


def _controller_revision_update(new: Object, old: Object) -> list[FieldError]:
    return controller_revision(new) + immutable_errors(new, old, "data", path="")


VALIDATORS: Mapping[tuple[str, str], Validator] = {
    ("", "replicationcontrollers"): Validator(
        create=replication_controller, update=_replication_controller_update, subresources={"status": replica_status}
    ),
    ("apps", "replicasets"): Validator(
        create=replica_set, update=_replica_set_update, subresources={"status": replica_status}
    ),
    ("apps", "deployments"): Validator(
        create=deployment, update=_deployment_update, subresources={"status": deployment_status}
    ),
    ("apps", "statefulsets"): Validator(
        create=stateful_set,
        update=_stateful_set_update,
        name=names.dns_label,
        subresources={"status": stateful_set_status},
    ),
    ("apps", "daemonsets"): Validator(
        create=daemon_set, update=_daemon_set_update, subresources={"status": daemon_set_status}
    ),
    ("apps", "controllerrevisions"): Validator(create=controller_revision, update=_controller_revision_update),
}
