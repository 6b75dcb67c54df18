"""Annotations of Tiphys are read as what they mean, and refused with words when they mean nothing."""

import pytest

from tiphys.api import own_annotations
from tiphys.api.own_annotations import Dependency, RolloutPolicy


def policy(action="rollback", **said):
    names = {name.replace("_", "-"): value for name, value in said.items()}
    return own_annotations.rollout_policy(
        {"tiphys.io/on-failure": action} | {f"tiphys.io/{k}": v for k, v in names.items()}
    )


def test_nothing_said_means_nothing_done():
    assert own_annotations.rollout_policy({}) is None
    assert list(own_annotations.complaints({})) == []


def test_a_policy_has_the_defaults_of_swarm():
    assert policy() == RolloutPolicy("rollback", 5.0, 0.0, 600.0)


def test_a_policy_says_how_long_and_how_many():
    said = policy("pause", monitor="1m30s", max_failure_ratio="0.25", progress_deadline="2m")
    assert said == RolloutPolicy("pause", 90.0, 0.25, 120.0)


def test_dependencies_are_told_by_kind_and_name():
    found = own_annotations.dependencies("deploy/db, job/migrate,StatefulSet/cache")
    assert found[0] == Dependency("deploy/db", "deployments", "db")
    assert [(one.resource, one.name) for one in found[1:]] == [("jobs", "migrate"), ("statefulsets", "cache")]


@pytest.mark.parametrize(
    "said",
    [
        {"tiphys.io/on-failure": "explode"},
        {"tiphys.io/monitor": "5"},
        {"tiphys.io/monitor": "-5s"},
        {"tiphys.io/max-failure-ratio": "1.5"},
        {"tiphys.io/depends-on": "db"},
        {"tiphys.io/depends-on": "secret/db"},
        {"tiphys.io/depends-on": "deploy/"},
        {"tiphys.io/depends-on": ",".join(["deploy/db"] * 21)},
        {"tiphys.io/restart-on-change": "yes"},
        {"tiphys.io/paused": ""},
    ],
)
def test_what_means_nothing_is_refused_by_its_name(said):
    (complaint,) = own_annotations.complaints(said)
    assert complaint.startswith(next(iter(said)))
