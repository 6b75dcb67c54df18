"""Jobs: counts, indexes, policies of failure and success, and what may change while one runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, invalid, not_supported, required, too_long
from tiphys.api.validation.internal import internal
from tiphys.api.validation.job_policies import failure_policy_errors, success_policy_errors
from tiphys.api.validation.job_status import job_status
from tiphys.api.validation.pod_spec import template_errors
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import IMMUTABLE, negative_errors, selector_errors, shown_selector
from tiphys.api.validation.workload_spec import immutable_errors, mismatch_errors, template_labels

Spec = Mapping[str, Any]

INDEXES_MAX = 100_000
_MANY_INDEXES_MAX = 10_000
_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
_MANAGED_BY_LENGTH_MAX = 63
_CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
_INDEXED_ONLY = "requires indexed completion mode"
# What a suspended Job's template may have changed, so that a queue can say where it runs.
_DIRECTIVES = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


def job(obj: Object) -> list[FieldError]:
    """A Job."""
    spec = obj["spec"]
    errors = _generated_selector_errors(obj) + _spec_errors(spec)
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        name = obj["metadata"].get("name", "")
        hostname = f"{name}-{completions - 1}"
        if names.dns_label(hostname):
            text = f"will not able to create pod with invalid DNS label: {hostname}"
            errors.append(invalid("metadata.name", name, text))
    return errors


def _spec_errors(spec: Spec) -> list[FieldError]:
    errors = job_spec_errors(spec, "spec.")
    if spec.get("selector") is None:
        errors.append(required("spec.selector"))
    selector = selector_errors(spec.get("selector"), "spec.selector")
    return errors + (selector or mismatch_errors(spec))


def _generated_selector_errors(obj: Object) -> list[FieldError]:
    """A selector that the server makes is by uid, which the template's labels must have."""
    spec, metadata = obj["spec"], obj["metadata"]
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return []
    uid, labels = metadata.get("uid", ""), template_labels(spec)
    errors = _has_label_errors(labels, "controller-uid", uid)
    errors += _has_label_errors(labels, "job-name", metadata.get("name", ""))
    generated = ({_CONTROLLER_UID: uid}, {"controller-uid": uid})
    if selector.get("matchLabels") not in generated or selector.get("matchExpressions"):
        errors.append(invalid("spec.selector", shown_selector(selector), "`selector` not auto-generated"))
    return errors


def _has_label_errors(labels: Mapping[str, str] | None, key: str, value: str) -> list[FieldError]:
    path, text = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
    if labels is None or key not in labels:
        return [required(path, text)]
    return [] if labels[key] == value else [invalid(path, dict(sorted(labels.items())), text)]


def job_spec_errors(spec: Spec, path: str) -> list[FieldError]:
    """A Job's spec but for the selector, as in the template of a CronJob; `path` ends with a dot."""
    errors = negative_errors(spec, path, *_COUNTS, "backoffLimitPerIndex", "maxFailedIndexes")
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        errors.append(required(f"{path}backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if "managedBy" in spec:
        errors += _managed_by_errors(spec["managedBy"], f"{path}managedBy")
    errors += _mode_errors(spec, path)
    if "podFailurePolicy" in spec:
        errors += failure_policy_errors(spec, f"{path}podFailurePolicy")
    if "successPolicy" in spec:
        if spec.get("completionMode") == "Indexed":
            errors += success_policy_errors(spec, f"{path}successPolicy")
        else:
            errors.append(invalid(f"{path}successPolicy", shown_policy(spec["successPolicy"]), _INDEXED_ONLY))
    errors += _replacement_errors(spec, f"{path}podReplacementPolicy")
    template = spec.get("template") or {}
    errors += template_errors(template, f"{path}template")
    return errors + _restart_errors(spec, template.get("spec") or {}, f"{path}template.spec.restartPolicy")


def shown_policy(policy: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A success policy as Go prints it."""
    if policy is None:
        return None
    rules = policy.get("rules")
    order = ("succeededIndexes", "succeededCount")
    return {
        "Rules": None if rules is None else [internal(rule, "batch.v1.SuccessPolicyRule", *order) for rule in rules]
    }


def _managed_by_errors(value: str, path: str) -> list[FieldError]:
    if not value:
        return [required(path)]
    domain, slash, rest = value.partition("/")
    errors = []
    if not slash or not domain or not rest:
        errors.append(invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")'))
    else:
        errors += [invalid(path, domain, problem) for problem in names.dns_subdomain(domain)]
    if len(value) > _MANAGED_BY_LENGTH_MAX:
        errors.append(too_long(path, _MANAGED_BY_LENGTH_MAX))
    return errors


def _mode_errors(spec: Spec, path: str) -> list[FieldError]:
    mode = spec.get("completionMode")
    if mode == "Indexed":
        return _indexed_errors(spec, path)
    if mode is not None and mode != "NonIndexed":
        return [not_supported(f"{path}completionMode", mode, ("NonIndexed", "Indexed"), is_set=False)]
    return [
        invalid(path + name, spec[name], _INDEXED_ONLY)
        for name in ("backoffLimitPerIndex", "maxFailedIndexes")
        if name in spec
    ]


def _indexed_errors(spec: Spec, path: str) -> list[FieldError]:
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    failed = spec.get("maxFailedIndexes")
    errors = []
    if completions is None:
        errors.append(required(f"{path}completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > INDEXES_MAX:
        text = f"must be less than or equal to {INDEXES_MAX} when completion mode is Indexed"
        errors.append(invalid(f"{path}parallelism", parallelism, text))
    if completions is not None and failed is not None and failed > completions:
        errors.append(invalid(f"{path}maxFailedIndexes", failed, "must be less than or equal to completions"))
    if failed is not None and failed > INDEXES_MAX:
        errors.append(invalid(f"{path}maxFailedIndexes", failed, f"must be less than or equal to {INDEXES_MAX}"))
    if completions is None or completions <= INDEXES_MAX or "backoffLimitPerIndex" not in spec:
        return errors
    if failed is None:
        text = f"must be specified when completions is above {INDEXES_MAX}"
        errors.append(required(f"{path}maxFailedIndexes", text))
    text = (
        f"must be less than or equal to {_MANY_INDEXES_MAX} when completions are above {INDEXES_MAX} and used with "
        "backoff limit per index"
    )
    for name, value in (("parallelism", parallelism), ("maxFailedIndexes", failed)):
        if value is not None and value > _MANY_INDEXES_MAX:
            errors.append(invalid(path + name, value, text))
    return errors


def _replacement_errors(spec: Spec, path: str) -> list[FieldError]:
    policy = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if "podFailurePolicy" in spec else ("Failed", "TerminatingOrFailed")
    return [] if policy is None or policy in allowed else [not_supported(path, policy, allowed)]


def _restart_errors(spec: Spec, pod: Spec, path: str) -> list[FieldError]:
    policy = pod.get("restartPolicy")
    if policy in (None, "", "Always"):
        return [required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [not_supported(path, policy, ("OnFailure", "Never"), is_set=False)]
    if "podFailurePolicy" in spec and policy != "Never":
        return [invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def _update(new: Object, old: Object) -> list[FieldError]:
    """A Job's pods are made from what it was created with; only numbers change. Kubernetes looks at the spec twice."""
    after, before = new["spec"], old["spec"]
    errors = job(new) + _spec_errors(after)
    errors += _completion_errors(after, before)
    errors += immutable_errors(after, before, "selector")
    errors += _template_errors(after, before, old)
    errors += immutable_errors(after, before, "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy")
    if after.get("successPolicy") != before.get("successPolicy"):
        errors.append(invalid("spec.successPolicy", shown_policy(after.get("successPolicy")), IMMUTABLE))
    return errors


def _completion_errors(after: Spec, before: Spec) -> list[FieldError]:
    wanted = after.get("completions")
    if wanted == before.get("completions"):
        return []
    if after.get("completionMode") != "Indexed":
        return [invalid("spec.completions", wanted, IMMUTABLE)]
    if wanted == after.get("parallelism"):
        return []
    return [invalid("spec.completions", wanted, "can only be modified in tandem with spec.parallelism")]


def _template_errors(after: Spec, before: Spec, old: Object) -> list[FieldError]:
    now, was = after.get("template") or {}, before.get("template") or {}
    if _may_change_template(old):
        now, was = _lasting(now), _lasting(was)
    return [] if now == was else [invalid("spec.template", after.get("template"), IMMUTABLE)]


def _may_change_template(old: Object) -> bool:
    """A queue says where pods run and what they may use while the Job is held back: before its start, or suspended."""
    status = old.get("status") or {}
    is_held = not status.get("startTime") or any(
        condition.get("type") == "Suspended" and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )
    return bool(old["spec"].get("suspend")) and is_held and not status.get("active")


def _lasting(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template without what such a Job may have changed."""
    metadata = {
        name: value for name, value in (template.get("metadata") or {}).items() if name not in ("labels", "annotations")
    }
    spec = {name: value for name, value in (template.get("spec") or {}).items() if name not in _DIRECTIVES}
    for part in ("containers", "initContainers"):
        if spec.get(part):
            spec[part] = [{k: v for k, v in each.items() if k != "resources"} for each in spec[part]]
    return {"metadata": metadata, "spec": spec}


VALIDATORS: Mapping[tuple[str, str], Validator] = {
    ("batch", "jobs"): Validator(create=job, update=_update, subresources={"status": job_status}),
}
