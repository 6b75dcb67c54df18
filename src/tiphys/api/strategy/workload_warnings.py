"""What a client is warned of in a workload: what its pod template is warned of, and names that make odd hostnames."""

from __future__ import annotations

from typing import Any

from tiphys.api.strategy import pod_warnings
from tiphys.api.validation.names import dns_label

Object = dict[str, Any]

_INDEXES_MAX, _PARALLELISM_MAX = 100_000, 10_000


def of_template(new: Object, old: Object | None) -> list[str]:
    """Warnings of `spec.template`, on create and when the spec changes."""
    if not _is_due(new, old):
        return []
    return pod_warnings.of_template(new["spec"].get("template") or {}, "spec.template.")


def of_named_template(new: Object, old: Object | None) -> list[str]:
    """The same, after a warning of a name that is no DNS label."""
    return _of_name(new, old) + of_template(new, old)


def of_stateful_set(new: Object, old: Object | None) -> list[str]:
    """The same, and of a history without a limit."""
    found = of_template(new, old)
    if (new["spec"].get("revisionHistoryLimit") or 0) < 0:
        text = "a negative value retains all historical revisions; a value >= 0 is recommended"
        found.append(f"spec.revisionHistoryLimit: {text}")
    return found


def of_job(new: Object, old: Object | None) -> list[str]:
    """Warnings of a Job; an update looks at its numbers alone."""
    found = _of_name(new, old)
    spec = new["spec"]
    if spec.get("completionMode") == "Indexed":
        completions, parallelism = spec.get("completions") or 0, spec.get("parallelism") or 0
        if completions > _INDEXES_MAX and parallelism > _PARALLELISM_MAX:
            found.append(
                "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
                "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
            )
    return found + (of_template(new, old) if old is None else [])


def of_cron_job(new: Object, old: Object | None) -> list[str]:
    """Warnings of a CronJob and of the template in its template."""
    found = _of_name(new, old)
    if "TZ" in new["spec"].get("schedule", "") and old is not None:
        found.append(
            "CRON_TZ or TZ used in spec.schedule is not officially supported, see "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )
    if _is_due(new, old):
        job = (new["spec"].get("jobTemplate") or {}).get("spec") or {}
        found += pod_warnings.of_template(job.get("template") or {}, "spec.jobTemplate.spec.template.")
    return found


def _is_due(new: Object, old: Object | None) -> bool:
    return old is None or new["metadata"].get("generation") != old["metadata"].get("generation")


def _of_name(new: Object, old: Object | None) -> list[str]:
    problems = dns_label(new["metadata"].get("name", "")) if old is None else []
    if not problems:
        return []
    text = "this is used in Pod names and hostnames, which can result in surprising behavior"
    return [f"metadata.name: {text}; a DNS label is recommended: [{' '.join(problems)}]"]
