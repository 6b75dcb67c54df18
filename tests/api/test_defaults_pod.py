"""What a Pod is filled with, reset to and warned of."""

import pytest

from api_builders import created, typed, updated
from tiphys.api import resources, strategy
from tiphys.api.images import default_pull_policy

PODS = resources.get("", "v1", "pods")
CONTAINER = {"name": "c", "image": "app:1"}


def pod(container=None, metadata=None, **spec):
    return {
        "metadata": {"name": "p", **(metadata or {})},
        "spec": {"containers": [{**CONTAINER, **(container or {})}], **spec},
    }


def test_a_small_pod_says_all_that_it_is():
    spec = typed("v1", "Pod", pod())["spec"]
    assert spec["restartPolicy"] == "Always"
    assert (spec["dnsPolicy"], spec["schedulerName"]) == ("ClusterFirst", "default-scheduler")
    assert (spec["terminationGracePeriodSeconds"], spec["enableServiceLinks"]) == (30, True)
    assert spec["containers"][0]["terminationMessagePath"] == "/dev/termination-log"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx@sha256:ab", "IfNotPresent"),
        ("nginx:latest@sha256:ab", "Always"),
    ],
)
def test_what_may_move_is_pulled_always(image, policy):
    assert default_pull_policy(image) == policy


def test_probes_have_times_and_requests_are_filled():
    probe = {"httpGet": {"port": 80}, "periodSeconds": 0}
    container = typed("v1", "Pod", pod({"livenessProbe": probe}))["spec"]["containers"][0]
    assert container["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def test_limits_are_requested_in_a_pod_and_not_in_a_template():
    limited = {"resources": {"limits": {"cpu": "1500u"}}}
    whole = typed("v1", "Pod", pod(limited))["spec"]["containers"][0]["resources"]
    assert whole == {"limits": {"cpu": "2m"}, "requests": {"cpu": "2m"}}
    template = typed("v1", "PodTemplate", {"template": pod(limited)})["template"]
    assert template["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "2m"}}


def test_a_pod_with_limits_of_its_own_requests_what_its_containers_do():
    asking = {"resources": {"requests": {"cpu": "500m"}}}
    spec = typed("v1", "Pod", pod(asking, resources={"limits": {"cpu": "2", "memory": "1Gi"}}))["spec"]
    assert spec["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}


def test_host_network_gives_ports_of_the_host():
    spec = typed("v1", "Pod", pod({"ports": [{"containerPort": 80}]}, hostNetwork=True))["spec"]
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]


def test_a_service_account_has_its_old_name_too():
    assert typed("v1", "Pod", pod(serviceAccount="a"))["spec"]["serviceAccountName"] == "a"


def test_volumes_are_filled_by_type():
    volumes = [{"name": "a"}, {"name": "b", "configMap": {"name": "m"}}, {"name": "c", "hostPath": {"path": "/"}}]
    filled = typed("v1", "Pod", pod(volumes=volumes))["spec"]["volumes"]
    assert filled[0]["emptyDir"] == {}
    assert filled[1]["configMap"]["defaultMode"] == 0o644
    assert filled[2]["hostPath"]["type"] == ""


def test_defaults_set_twice_change_nothing():
    once = typed("v1", "Pod", pod({"ports": [{"containerPort": 1}]}, volumes=[{"name": "v"}]))
    assert typed("v1", "Pod", once) == once


def test_a_new_pod_is_pending_whatever_it_says():
    made = created("v1", "Pod", pod(terminationGracePeriodSeconds=-5) | {"status": {"phase": "Running"}})
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["terminationGracePeriodSeconds"] == 1


def test_a_gated_pod_says_why_it_waits():
    condition = created("v1", "Pod", pod(schedulingGates=[{"name": "a"}]))["status"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("PodScheduled", "SchedulingGated")


def test_label_keys_become_selectors():
    constraint = {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}
    constraint |= {"labelSelector": {}, "matchLabelKeys": ["app", "absent"]}
    made = created("v1", "Pod", pod(metadata={"labels": {"app": "a"}}, topologySpreadConstraints=[constraint]))
    selector = made["spec"]["topologySpreadConstraints"][0]["labelSelector"]
    assert selector["matchExpressions"] == [{"key": "app", "operator": "In", "values": ["a"]}]


def test_an_apparmor_annotation_becomes_a_field():
    annotation = {"container.apparmor.security.beta.kubernetes.io/c": "localhost/mine"}
    made = created("v1", "Pod", pod(metadata={"annotations": annotation}))
    profile = made["spec"]["containers"][0]["securityContext"]["appArmorProfile"]
    assert profile == {"type": "Localhost", "localhostProfile": "mine"}


def test_a_status_update_changes_no_spec():
    old = created("v1", "Pod", pod())
    new = updated(old, pod({"image": "app:9"}) | {"status": {"phase": "Running", "podIP": "10.0.0.1"}}, "status")
    assert new["spec"] == old["spec"]
    assert new["status"]["qosClass"] == "BestEffort"
    assert new["status"]["podIPs"] == [{"ip": "10.0.0.1"}]


def test_a_resize_of_renamed_containers_is_left_to_validation():
    old = created("v1", "Pod", pod())
    renamed = updated(old, pod({"name": "d"}), "resize")
    assert renamed["spec"]["containers"][0]["name"] == "d"
    sized = updated(old, pod({"image": "x:2", "resources": {"requests": {"cpu": "1"}}}), "resize")
    assert sized["spec"]["containers"][0]["image"] == "app:1"
    assert sized["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}}


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        (pod({"env": [{"name": "A"}, {"name": "A", "value": "b"}]}), 'hides previous definition of "A"'),
        (pod(nodeSelector={"beta.kubernetes.io/os": "linux"}), 'use "kubernetes.io/os" instead'),
        (pod(volumes=[{"name": "v", "gitRepo": {"repository": "r"}}]), "spec.volumes[0].gitRepo: deprecated in v1.11"),
        (pod({"ports": [{"containerPort": 1}, {"containerPort": 1, "hostPort": 2}]}), "overlapping port definition"),
        (pod({"resources": {"limits": {"memory": "1500m"}}}), 'fractional byte value "1500m" is invalid'),
        (pod(hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]), 'duplicate ip "1.1.1.1"'),
        (pod(metadata={"name": "a.b"}), "a DNS label is recommended: [must not contain dots]"),
    ],
)
def test_warnings(body, warning):
    made = created("v1", "Pod", body)
    assert warning in strategy.warnings_of(PODS, made, None)[0]
    assert strategy.warnings_of(PODS, made, made) == []
