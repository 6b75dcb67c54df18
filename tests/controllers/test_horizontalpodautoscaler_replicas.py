"""From measured values to replicas: ratios, tolerance, and pods that cannot be judged."""

import pytest

from autoscaler_builders import NOW, asking, used
from tiphys.controllers.horizontalpodautoscaler.replicas import (
    CannotCompute,
    Metric,
    Target,
    Tolerance,
    by_average,
    by_share,
    by_utilization,
    by_value,
)


def target(count, *, pods=None, tolerance=None):
    return Target(count, pods or [asking(f"p{n}") for n in range(count)], tolerance or Tolerance(), NOW)


@pytest.mark.parametrize(
    ("milli", "replicas", "utilization"),
    [((50, 50), 2, 50), ((100, 100), 4, 100), ((10, 10), 1, 10), ((54, 54), 2, 54), ((60, 60), 3, 60)],
)
def test_follows_utilization_beyond_the_tolerance(milli, replicas, utilization):
    outcome = by_utilization(target(2), used(*milli), 50, "cpu")
    assert (outcome.replicas, outcome.utilization, outcome.average) == (replicas, utilization, milli[0])


def test_each_direction_may_have_its_own_tolerance():
    exact = Tolerance(down=0.5, up=0.0)
    assert by_utilization(target(2, tolerance=exact), used(52, 52), 50, "cpu").replicas == 3
    assert by_utilization(target(2, tolerance=exact), used(26, 26), 50, "cpu").replicas == 2


def test_a_pod_without_a_request_cannot_be_judged():
    pods = [asking("p0"), asking("p1", 0)]
    with pytest.raises(CannotCompute, match="missing request for cpu in container c of Pod p1"):
        by_utilization(target(2, pods=pods), used(1, 1), 50, "cpu")


def test_requests_of_a_whole_pod_count_before_those_of_containers():
    whole = asking("p0", 0, resources={"requests": {"cpu": "1"}})
    assert by_utilization(target(1, pods=[whole]), used(2000), 50, "cpu").replicas == 4


def test_missing_pods_use_nothing_when_there_is_too_much_load():
    assert by_utilization(target(3), used(150, 150, None), 50, "cpu").replicas == 6


def test_missing_pods_use_all_they_ask_for_when_there_is_too_little():
    assert by_utilization(target(3), used(10, 10, None), 50, "cpu").replicas == 3


def test_a_direction_is_never_turned_by_what_is_missing():
    assert by_utilization(target(4), used(60, None, None, None), 50, "cpu").replicas == 4


def test_pods_that_start_use_nothing_when_there_is_too_much_load():
    pods = [asking("p0"), asking("p1", ready=False, phase="Pending")]
    assert by_utilization(target(2, pods=pods), used(300), 50, "cpu").replicas == 6


def test_a_pod_is_judged_one_window_after_it_became_ready():
    young = asking("p1")
    young["status"]["startTime"] = "2027-01-15T08:16:00Z"
    young["status"]["conditions"][0]["lastTransitionTime"] = "2027-01-15T08:16:39Z"
    pods = [asking("p0"), young]
    assert by_utilization(target(2, pods=pods), used(50, 900), 50, "cpu").replicas == 1 + 1
    young["status"]["conditions"][0]["lastTransitionTime"] = "2027-01-15T08:16:30Z"
    assert by_utilization(target(2, pods=pods), used(50, 900), 50, "cpu").replicas == 19


def test_pods_that_end_or_failed_do_not_count():
    pods = [asking("p0"), asking("p1", deleting=True), asking("p2", phase="Failed")]
    assert by_utilization(target(1, pods=pods), used(100, 999, 999), 50, "cpu").replicas == 2


def test_without_any_metric_nothing_follows():
    with pytest.raises(CannotCompute, match=r"pods might be unready"):
        by_utilization(target(1, pods=[asking("p0", phase="Pending")]), used(), 50, "cpu")
    with pytest.raises(CannotCompute, match="no pods returned by selector"):
        by_utilization(Target(1, [], Tolerance(), NOW), used(), 50, "cpu")


def test_follows_an_average_of_pods():
    outcome = by_average(target(2), {"p0": Metric(3000), "p1": Metric(5000)}, 2000)
    assert (outcome.replicas, outcome.average, outcome.utilization) == (4, 4000, None)


def test_follows_a_value_by_ready_pods():
    pods = [asking("p0"), asking("p1", ready=False)]
    assert by_value(target(2, pods=pods), 3000, 1000).replicas == 3
    assert by_value(target(2, pods=pods), 1050, 1000).replicas == 2


def test_a_target_at_zero_is_woken_by_a_value():
    assert by_value(Target(0, [], Tolerance(), NOW), 2500, 1000).replicas == 3


def test_follows_each_ones_share_of_a_value():
    assert by_share(target(2), 9000, 3000).replicas == 3
    assert (by_share(target(3), 9300, 3000).replicas, by_share(target(3), 9300, 3000).average) == (3, 3100)
