"""
What Tiphys offers beyond Kubernetes: annotations under `tiphys.io/`, which other clients and clusters can ignore.

Their names, what they say as records, and what is wrong with them. Pure. docs/annotations.md tells users.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PREFIX = "tiphys.io/"

# Said by users, on workloads.
ON_FAILURE = "tiphys.io/on-failure"
MONITOR = "tiphys.io/monitor"
MAX_FAILURE_RATIO = "tiphys.io/max-failure-ratio"
PROGRESS_DEADLINE = "tiphys.io/progress-deadline"
PAUSED = "tiphys.io/paused"
RESTART_ON_CHANGE = "tiphys.io/restart-on-change"
DEPENDS_ON = "tiphys.io/depends-on"
# Noted by controllers.
GOOD_REVISION = "tiphys.io/good-revision"
FAILED_REVISION = "tiphys.io/failed-revision"
CONFIGURATION = "tiphys.io/configuration"
WAITS_FOR = "tiphys.io/waits-for"
# What is noted concerns the workload as it is now: no earlier revision of it keeps a copy.
NOTES = frozenset((GOOD_REVISION, FAILED_REVISION, CONFIGURATION, WAITS_FOR))
# The gate that a pod with dependencies is born with.
DEPENDENCIES_GATE = "tiphys.io/depends-on"

ROLLBACK, PAUSE = "rollback", "pause"
MONITOR_SECONDS = 5.0
PROGRESS_SECONDS = 600.0
DEPENDENCIES_MAX = 20

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_KINDS: Mapping[str, str] = {
    word: plural
    for plural, words in {
        "deployments": ("deploy", "deployment", "deployments"),
        "statefulsets": ("sts", "statefulset", "statefulsets"),
        "daemonsets": ("ds", "daemonset", "daemonsets"),
        "jobs": ("job", "jobs"),
        "pods": ("po", "pod", "pods"),
        "services": ("svc", "service", "services"),
    }.items()
    for word in words
}


@dataclass(frozen=True, slots=True)
class RolloutPolicy:
    """
    What to do when a rollout fails. A pod fails when a container of it ends within `monitor_seconds` of its start, or
    when it is not ready after `progress_seconds`; a rollout when more than `max_failure_ratio` of the wanted pods do.
    """

    action: str
    monitor_seconds: float = MONITOR_SECONDS
    max_failure_ratio: float = 0.0
    progress_seconds: float = PROGRESS_SECONDS


@dataclass(frozen=True, slots=True)
class Dependency:
    """`said` is how the user wrote it, `resource` the plural of its kind; it is in the namespace of who depends."""

    said: str
    resource: str
    name: str


def rollout_policy(annotations: Mapping[str, str]) -> RolloutPolicy | None:
    """None when nothing is to be done on failure. ValueError says what is wrong."""
    action = annotations.get(ON_FAILURE)
    if action is None:
        return None
    if action not in (ROLLBACK, PAUSE):
        raise ValueError(f"{ON_FAILURE}: {action!r} is neither {ROLLBACK!r} nor {PAUSE!r}")
    return RolloutPolicy(
        action,
        _seconds(annotations, MONITOR, MONITOR_SECONDS),
        _ratio(annotations, MAX_FAILURE_RATIO),
        _seconds(annotations, PROGRESS_DEADLINE, PROGRESS_SECONDS),
    )


def dependencies(text: str) -> tuple[Dependency, ...]:
    """`deploy/db, job/migrate` as records. ValueError says what is wrong."""
    found = []
    for said in (part.strip() for part in text.split(",")):
        kind, slash, name = said.partition("/")
        if not slash or kind.lower() not in _KINDS or not _NAME.fullmatch(name):
            allowed = ", ".join(sorted(set(_KINDS.values())))
            raise ValueError(f"{DEPENDS_ON}: {said!r} is no KIND/NAME with a kind of {allowed}")
        found.append(Dependency(said, _KINDS[kind.lower()], name))
    if len(found) > DEPENDENCIES_MAX:
        raise ValueError(f"{DEPENDS_ON}: more than {DEPENDENCIES_MAX} dependencies")
    return tuple(found)


def restarts_on_change(annotations: Mapping[str, str]) -> bool:
    return annotations.get(RESTART_ON_CHANGE) == "true"


def complaints(annotations: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a workload's annotations, one text each."""
    for read in (_check_policy, _check_dependencies):
        try:
            read(annotations)
        except ValueError as error:
            yield str(error)
    for name in (RESTART_ON_CHANGE, PAUSED):
        if annotations.get(name, "true") not in ("true", "false"):
            yield f"{name}: {annotations[name]!r} is neither 'true' nor 'false'"


def _check_policy(annotations: Mapping[str, str]) -> None:
    rollout_policy({ON_FAILURE: PAUSE, **annotations})


def _check_dependencies(annotations: Mapping[str, str]) -> None:
    if DEPENDS_ON in annotations:
        dependencies(annotations[DEPENDS_ON])


def _seconds(annotations: Mapping[str, str], name: str, default: float) -> float:
    """A duration as Go writes it: `90s`, `1m30s`."""
    text = annotations.get(name)
    if text is None:
        return default
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError(f"{name}: {text!r} is no duration such as 30s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _ratio(annotations: Mapping[str, str], name: str) -> float:
    text = annotations.get(name, "0")
    if not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", text):
        raise ValueError(f"{name}: {text!r} is no number from 0 to 1")
    return float(text)
