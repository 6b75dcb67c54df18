"""Between the versions of one kind nothing is lost."""

import orjson

from tiphys.api import resources
from tiphys.api.convert import convert

HPA_V1 = resources.get("autoscaling", "v1", "horizontalpodautoscalers")
HPA_V2 = resources.get("autoscaling", "v2", "horizontalpodautoscalers")
CORE = resources.get("", "v1", "events")
EVENTS = resources.get("events.k8s.io", "v1", "events")


def cpu(percent):
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


MEMORY = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}}
EXTERNAL = {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "7"}}}


def autoscaler(*metrics, **spec):
    head = {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2", "metadata": {"name": "h"}}
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        **head,
        "spec": {"scaleTargetRef": reference, "maxReplicas": 5, "metrics": list(metrics), **spec},
        "status": {},
    }


def test_cpu_utilization_is_a_field_of_v1():
    old = convert(autoscaler(cpu(50)), HPA_V1)
    assert old["apiVersion"] == "autoscaling/v1" and old["spec"]["targetCPUUtilizationPercentage"] == 50
    assert "metrics" not in old["spec"] and "annotations" not in old["metadata"]


def test_other_metrics_travel_in_an_annotation_of_the_old_shape():
    annotations = convert(autoscaler(MEMORY, EXTERNAL), HPA_V1)["metadata"]["annotations"]
    memory, external = orjson.loads(annotations["autoscaling.alpha.kubernetes.io/metrics"])
    assert memory == {"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}}
    assert external == {"type": "External", "external": {"metricName": "q", "targetValue": "7"}}


def test_v2_comes_back_from_v1_as_it_was():
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": []}}
    sent = autoscaler(MEMORY, EXTERNAL, cpu(50), behavior=behavior)
    back = convert(convert(sent, HPA_V1), HPA_V2)
    assert back["spec"]["metrics"] == [MEMORY, EXTERNAL, cpu(50)]
    assert back["spec"]["behavior"]["scaleUp"]["selectPolicy"] == "Max"
    assert "annotations" not in back["metadata"]


def test_an_annotation_that_is_no_json_is_dropped():
    old = convert(autoscaler(cpu(50)), HPA_V1)
    old["metadata"]["annotations"] = {"autoscaling.alpha.kubernetes.io/metrics": "not json", "mine": "1"}
    back = convert(old, HPA_V2)
    assert back["spec"]["metrics"] == [cpu(50)] and back["metadata"]["annotations"] == {"mine": "1"}


def test_a_conversion_leaves_what_it_is_given():
    sent = autoscaler(MEMORY, cpu(50))
    before = orjson.dumps(sent)
    convert(convert(sent, HPA_V1), HPA_V2)
    assert orjson.dumps(sent) == before


def test_an_event_has_other_words_in_its_own_group():
    core = {"kind": "Event", "apiVersion": "v1", "metadata": {"name": "e"}, "involvedObject": {"name": "p"}}
    core |= {
        "message": "m",
        "count": 2,
        "source": {"component": "c"},
        "reportingComponent": "",
        "reportingInstance": "",
    }
    other = convert(core, EVENTS)
    assert (other["regarding"], other["note"], other["deprecatedCount"]) == ({"name": "p"}, "m", 2)
    assert other["deprecatedSource"] == {"component": "c"} and "reportingController" not in other
    assert convert(other, CORE) == core


def test_every_other_kind_only_says_another_version():
    pods = resources.get("", "v1", "pods")
    assert convert({"kind": "Pod", "apiVersion": "v1", "metadata": {}}, pods)["apiVersion"] == "v1"


def test_annotations_are_written_in_the_order_of_the_old_structs():
    policy = {"periodSeconds": 60, "type": "Percent", "value": 10}
    sent = autoscaler(behavior={"scaleDown": {"policies": [policy], "selectPolicy": "Max"}})
    annotations = convert(sent, HPA_V1)["metadata"]["annotations"]
    assert annotations["autoscaling.alpha.kubernetes.io/behavior"] == (
        '{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max",'
        '"Policies":[{"Type":"Percent","Value":10,"PeriodSeconds":60}],"Tolerance":null}}'
    )
