"""What an autoscaler decides and says: conditions, events, status."""

from dataclasses import replace

import pytest

from autoscaler_builders import NOW, autoscaler, cpu, facts, of_service, scale, used
from tiphys.controllers.horizontalpodautoscaler.evaluate import Reading
from tiphys.controllers.horizontalpodautoscaler.limits import History
from tiphys.controllers.horizontalpodautoscaler.plan import Facts, conclude, decide
from tiphys.reconcile.commands import Say, Update

HALF = autoscaler(cpu(50))


def seen(decision):
    return {kind: (status, reason) for kind, status, reason, _ in decision.conditions}


def told(hpa, decision, refusal="", **more):
    """(events, status) after a look."""
    commands = conclude(hpa, decision, refusal, NOW, **{"tells": True, **more})
    events = [(one.type, one.reason, one.message) for one in commands if isinstance(one, Say)]
    written = [one.object["status"] for one in commands if isinstance(one, Update)]
    return events, written[0] if written else None


def test_more_load_sets_more_replicas():
    decision = decide(facts(HALF, replicas=2, milli=(100, 100)), History(), NOW)
    assert (decision.replicas, decision.is_rescale) == (4, True)
    events, status = told(HALF, decision)
    reason = "cpu resource utilization (percentage of request) above target"
    assert events == [("Normal", "SuccessfulRescale", f"New size: 4; reason: {reason}")]
    assert (status["currentReplicas"], status["desiredReplicas"]) == (2, 4)
    assert status["lastScaleTime"] == "2027-01-15T08:16:40Z"


def test_the_status_shows_what_was_measured():
    _, status = told(HALF, decide(facts(HALF, replicas=2, milli=(51, 50)), History(), NOW))
    current = {"averageUtilization": 50, "averageValue": "50m"}
    assert status["currentMetrics"] == [{"type": "Resource", "resource": {"name": "cpu", "current": current}}]
    assert [(one["type"], one["status"], one["reason"]) for one in status["conditions"]] == [
        ("AbleToScale", "True", "ReadyForNewScale"),
        ("ScalingActive", "True", "ValidMetricFound"),
        ("ScalingLimited", "False", "DesiredWithinRange"),
    ]


def test_settled_means_no_commands():
    given = facts(HALF, replicas=2, milli=(50, 50))
    _, status = told(HALF, decide(given, History(), NOW))
    settled = {**HALF, "status": status}
    assert (
        conclude(settled, decide(facts(settled, replicas=2, milli=(50, 50)), History(), NOW), "", NOW, tells=True) == []
    )


def test_other_values_alone_wait_for_the_next_heartbeat():
    _, status = told(HALF, decide(facts(HALF, replicas=2, milli=(50, 50)), History(), NOW))
    settled = {**HALF, "status": status}
    decision = decide(facts(settled, replicas=2, milli=(52, 52)), History(), NOW)
    assert conclude(settled, decision, "", NOW, tells=False) == []
    assert told(settled, decision)[1]["currentMetrics"][0]["resource"]["current"]["averageUtilization"] == 52


@pytest.mark.parametrize(
    ("replicas", "wanted", "word"), [(12, 10, "above Spec.MaxReplicas"), (1, 2, "below Spec.MinReplicas")]
)
def test_bounds_are_kept_without_a_metric(replicas, wanted, word):
    hpa = autoscaler(cpu(50), least=2)
    decision = decide(facts(hpa, replicas=replicas, readings=[Reading()]), History(), NOW)
    assert (decision.replicas, decision.reason) == (wanted, f"Current number of replicas {word}")


def test_a_target_at_zero_is_left_alone():
    decision = decide(facts(HALF, replicas=0, readings=[Reading()]), History(), NOW)
    assert not decision.is_rescale and seen(decision)["ScalingActive"] == ("False", "ScalingDisabled")


def test_the_metric_that_asks_for_most_wins():
    hpa = autoscaler(cpu(50), of_service("1"))
    readings = [Reading(used(60, 60)), Reading(value=5000)]
    decision = decide(facts(hpa, replicas=2, readings=readings), History(), NOW)
    assert (decision.replicas, decision.reason) == (4, "Service metric hits above target")
    assert decision.metrics[1]["object"]["current"] == {"value": "5"}


def test_a_metric_that_fails_lets_the_others_scale_up_only():
    hpa = autoscaler(cpu(50), of_service("1"))
    broken = Reading(error="unable to get metric hits: no such API")
    decision = decide(facts(hpa, replicas=2, readings=[Reading(used(100, 100)), broken]), History(), NOW)
    assert decision.replicas == 4 and decision.metrics[1] == {"type": ""}
    stuck = decide(facts(hpa, replicas=2, readings=[Reading(used(10, 10)), broken]), History(), NOW)
    assert stuck.replicas is None and seen(stuck)["ScalingActive"] == ("False", "FailedGetObjectMetric")


def test_why_no_count_follows_is_told_in_kubernetes_words():
    given = facts(HALF, replicas=1, readings=[Reading(error="no metrics returned from resource metrics API")])
    events, status = told(HALF, decide(given, History(), NOW))
    none = "no metrics returned from resource metrics API"
    inner = f"failed to get cpu utilization: unable to get metrics for resource cpu: {none}"
    whole = f"invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {inner}"
    assert events == [
        ("Warning", "FailedGetResourceMetric", inner),
        ("Warning", "FailedComputeMetricsReplicas", whole),
    ]
    assert status["conditions"][1]["message"] == f"the HPA was unable to compute the replica count: {inner}"


def test_a_scale_that_is_not_there_is_told():
    decision = decide(Facts(HALF, scale_error='deployments.apps "web" not found'), History(), NOW)
    events, status = told(HALF, decision)
    assert events == [("Warning", "FailedGetScale", 'deployments.apps "web" not found')]
    assert (status["conditions"][0]["reason"], "currentReplicas" in status) == ("FailedGetScale", False)


def test_pods_of_two_autoscalers_are_scaled_by_none():
    decision = decide(facts(HALF, replicas=1, milli=(500,), rivals=["shop/web", "shop/b"]), History(), NOW)
    assert seen(decision)["ScalingActive"] == ("False", "AmbiguousSelector")
    assert "pods by selector app=web are controlled by multiple HPAs: [shop/b shop/web]" in decision.events[0][2]


def test_a_scale_without_selector_or_with_a_wrong_one_is_refused():
    given = facts(HALF, replicas=1, milli=(50,))
    assert decide(replace(given, scale=scale(1, "")), History(), NOW).events[0][1] == "SelectorRequired"
    assert decide(replace(given, selector_error="odd"), History(), NOW).events[0][1] == "InvalidSelector"


def test_a_refused_rescale_is_told_and_the_count_stays():
    decision = decide(facts(HALF, replicas=2, milli=(100, 100)), History(), NOW)
    events, status = told(HALF, decision, "quota")
    assert events[0][1] == "FailedRescale" and events[0][2].endswith("; error: quota")
    assert (status["conditions"][0]["reason"], status["desiredReplicas"]) == ("FailedUpdateScale", 0)


def test_what_was_recommended_holds_the_next_look():
    first = decide(facts(HALF, replicas=4, milli=(50, 50, 50, 50)), History(), NOW)
    second = decide(facts(HALF, replicas=4, milli=(1, 1, 1, 1)), first.history, NOW + 200)
    assert (second.replicas, seen(second)["AbleToScale"]) == (4, ("True", "ScaleDownStabilized"))
    third = decide(facts(HALF, replicas=4, milli=(1, 1, 1, 1)), second.history, NOW + 501)
    assert (third.replicas, third.reason) == (1, "All metrics below target")


def test_behaviour_and_tolerance_of_the_spec_are_kept():
    up = {
        "tolerance": "0",
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
    }
    hpa = autoscaler(cpu(50), behavior={"scaleUp": up, "scaleDown": {"selectPolicy": "Disabled"}})
    decision = decide(facts(hpa, replicas=2, milli=(200, 200)), History(), NOW)
    assert (decision.replicas, seen(decision)["ScalingLimited"]) == (3, ("True", "ScaleUpLimit"))
    assert decide(facts(hpa, replicas=2, milli=(52, 52)), History(), NOW).replicas == 3
