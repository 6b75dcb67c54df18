"""What a Job's policies make of how pods ended: podFailurePolicy and successPolicy. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import name_of, namespace_of
from tiphys.controllers.job import indexes
from tiphys.controllers.job.indexes import Intervals

FAIL_JOB, FAIL_INDEX, IGNORE = "FailJob", "FailIndex", "Ignore"


@dataclass(frozen=True, slots=True)
class Match:
    """The action of the first rule that a failed pod matches, "" if none; `message` is what a FailJob says."""

    action: str = ""
    message: str = ""


def failure_action(spec: Mapping[str, Any], pod: Mapping[str, Any]) -> Match:
    """What the podFailurePolicy does about a failed pod."""
    where = f"{namespace_of(pod)}/{name_of(pod)}"
    for number, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules") or ()):
        why = ""
        if rule.get("onExitCodes") is not None:
            container = _exited(pod, rule["onExitCodes"])
            if container is not None:
                code = container["state"]["terminated"]["exitCode"]
                why = f"Container {container['name']} for pod {where} failed with exit code {code}"
        elif rule.get("onPodConditions") is not None:
            kind = _condition(pod, rule["onPodConditions"])
            why = f"Pod {where} has condition {kind}" if kind else ""
        if why:
            return Match(rule["action"], f"{why} matching {rule['action']} rule at index {number}")
    return Match()


def _exited(pod: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first container that ended with one of the exit codes; one that ended well never matches."""
    status = pod.get("status") or {}
    containers: Iterable[Mapping[str, Any]] = (
        *(status.get("containerStatuses") or ()),
        *(status.get("initContainerStatuses") or ()),
    )
    for container in containers:
        terminated = (container.get("state") or {}).get("terminated")
        if terminated is None or wanted.get("containerName") not in (None, container["name"]):
            continue
        code = terminated.get("exitCode", 0)
        if code != 0 and (code in wanted["values"]) == (wanted["operator"] == "In"):
            return container
    return None


def _condition(pod: Mapping[str, Any], patterns: Iterable[Mapping[str, Any]]) -> str:
    """The type of the first condition that a pattern names."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        for pattern in patterns:
            if condition["type"] == pattern["type"] and condition["status"] == pattern.get("status", "True"):
                return str(condition["type"])
    return ""


def success_message(spec: Mapping[str, Any], succeeded: Intervals) -> str:
    """Which rule of the successPolicy is met; "" if none."""
    if not succeeded:
        return ""
    for number, rule in enumerate((spec.get("successPolicy") or {}).get("rules") or ()):
        counted, needed = indexes.total(succeeded), rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            wanted = indexes.parse(rule["succeededIndexes"], spec["completions"])
            counted = indexes.common(wanted, succeeded)
            needed = indexes.total(wanted) if needed is None else needed
        if needed is not None and counted >= needed:
            return f"Matched rules at index {number}"
    return ""
