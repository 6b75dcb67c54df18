"""From needed to set replicas: stabilization, policies, bounds."""

import pytest

from tiphys.controllers.horizontalpodautoscaler.limits import Bounds, History, limit, recommended, rescaled

NOW = 10_000.0
UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}],
}
DOWN = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


def bounds(least=1, most=100, *, up=None, down=None):
    return Bounds(least, most, up or {}, down or {})


def behaving(up=None, down=None, **more):
    return bounds(up={**UP, **(up or {})}, down={**DOWN, **(down or {})}, **more)


def policy(value, kind="Pods", seconds=60):
    return {"type": kind, "value": value, "periodSeconds": seconds}


def test_what_is_needed_is_set():
    held = limit(bounds(), History(), 3, 5, NOW)
    assert (held.replicas, held.able[0], held.limited[0], held.is_limited) == (
        5,
        "ReadyForNewScale",
        "DesiredWithinRange",
        False,
    )


@pytest.mark.parametrize(
    ("current", "desired", "replicas", "reason"),
    [
        (1, 9, 4, "ScaleUpLimit"),
        (10, 99, 20, "ScaleUpLimit"),
        (60, 99, 70, "TooManyReplicas"),
        (3, 1, 2, "TooFewReplicas"),
    ],
)
def test_without_behaviour_it_at_most_doubles(current, desired, replicas, reason):
    held = limit(bounds(2, 70), History(), current, desired, NOW)
    assert (held.replicas, held.limited[0], held.is_limited) == (replicas, reason, True)


def test_without_behaviour_it_doubles_once_in_a_quarter_of_a_minute():
    history = rescaled(History(), 5, 10, NOW)
    assert limit(bounds(), history, 10, 50, NOW + 5).replicas == 10
    assert limit(bounds(), history, 10, 50, NOW + 16).replicas == 20


def test_goes_down_to_the_highest_of_the_last_five_minutes():
    history = History(((NOW - 301, 9), (NOW - 200, 7), (NOW - 100, 4)))
    held = limit(bounds(), history, 9, 2, NOW)
    assert (held.replicas, held.able[0]) == (7, "ScaleDownStabilized")


def test_goes_up_to_the_lowest_of_a_window():
    history = History(((NOW - 50, 4), (NOW - 20, 6)))
    held = limit(behaving({"stabilizationWindowSeconds": 60}), history, 3, 7, NOW)
    assert (held.replicas, held.able[0]) == (4, "ScaleUpStabilized")


def test_policies_count_what_has_changed_already():
    history = rescaled(History(), 2, 5, NOW - 10)
    rules = behaving({"policies": [policy(4)]})
    assert limit(rules, history, 5, 20, NOW).replicas == 6
    assert limit(rules, history, 5, 20, NOW + 60).replicas == 9


def test_the_greatest_or_least_policy_is_chosen():
    policies = [policy(2), policy(100, "Percent")]
    assert limit(behaving({"policies": policies}), History(), 5, 50, NOW).replicas == 10
    assert limit(behaving({"policies": policies, "selectPolicy": "Min"}), History(), 5, 50, NOW).replicas == 7


def test_going_down_is_slowed_by_policies():
    rules = behaving(down={"stabilizationWindowSeconds": 0, "policies": [policy(10, "Percent")]})
    held = limit(rules, History(), 50, 1, NOW)
    assert (held.replicas, held.limited[0]) == (45, "ScaleDownLimit")
    least = behaving(down={"stabilizationWindowSeconds": 0, "policies": [policy(3), policy(10)], "selectPolicy": "Min"})
    assert limit(least, History(), 50, 1, NOW).replicas == 47


def test_a_direction_can_be_disabled():
    rules = behaving(down={"stabilizationWindowSeconds": 0, "selectPolicy": "Disabled"})
    assert limit(rules, History(), 5, 1, NOW).replicas == 5


def test_recommendations_are_forgotten_after_the_longest_window_and_repeat_as_one():
    history = History()
    for second in range(400):
        history = recommended(history, 3, bounds(), NOW + second)
    history = recommended(history, 4, bounds(), NOW + 400)
    assert [count for _, count in history.recommendations] == [3, 4]
    assert history.recommendations[0][0] == NOW + 399
