"""What `kubectl get` shows of each kind."""

import pytest

from builders import deployment, node, replicaset
from tiphys.api import resources
from tiphys.api.objects import parse_timestamp
from tiphys.apiserver.tables import cells, words
from tiphys.apiserver.tables.render import columns, render

EPOCH = "2027-01-15T08:00:00Z"
NOW = parse_timestamp(EPOCH) + 300


def cells_of(group, name, obj, version="v1"):
    obj = {"metadata": {"name": "x", "creationTimestamp": EPOCH}, **obj}
    return render(resources.get(group, version, name), [obj], "None", now=NOW)["rows"][0]["cells"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (3 * 3600 - 1, "179m"),
        (4 * 3600 + 300, "4h5m"),
        (47 * 3600, "47h"),
        (50 * 3600, "2d2h"),
        (9 * 86400, "9d"),
        (800 * 86400, "2y70d"),
        (3000 * 86400, "8y"),
    ],
)
def test_a_duration_has_two_figures_at_most(seconds, text):
    assert words.duration(seconds) == text


def test_selectors_read_as_they_are_typed():
    expressions = [{"key": "b", "operator": "In", "values": ["2", "1"]}, {"key": "c", "operator": "DoesNotExist"}]
    assert words.selector({"matchLabels": {"a": "1"}, "matchExpressions": expressions}) == "a=1,b in (1,2),!c"
    assert words.selector({}) == "<none>"


def test_every_listable_resource_has_as_many_cells_as_columns():
    for key, make in cells.OF.items():
        count = len(columns(key))
        assert count > 1, key
        if make is cells.name_and_age:
            assert count == 2


@pytest.mark.parametrize("resource", [r for r in resources.builtin() if "list" in r.verbs], ids=lambda r: r.name)
def test_an_object_with_nothing_in_it_has_a_row(resource):
    spec = {"template": {}, "jobTemplate": {"spec": {"template": {}}}, "schedule": "", "maxReplicas": 1}
    obj = {"metadata": {"name": "x"}, "spec": {**spec, "scaleTargetRef": {"kind": "D", "name": "d"}}}
    obj["roleRef"] = {"kind": "Role", "name": "r"}
    table = render(resource, [obj], "None", now=NOW)
    assert len(table["rows"][0]["cells"]) in (len(table["columnDefinitions"]), 3)


def test_rows_carry_as_much_of_the_object_as_was_asked_for():
    resource, obj = resources.get("", "v1", "configmaps"), {"metadata": {"name": "a"}, "data": {"k": "v"}}
    carried = [render(resource, [obj], include)["rows"][0]["object"] for include in ("Metadata", "Object", "None")]
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    assert carried == [partial, obj, None]


def test_a_deployment_counts_ready_of_wanted():
    status = {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
    obj = deployment(3, status=status)
    obj["metadata"]["creationTimestamp"] = EPOCH
    assert cells_of("apps", "deployments", obj) == ["web", "1/3", 2, 1, "5m", "c", "v1", "app=web"]


def test_a_replicaset_counts_numbers():
    assert cells_of("apps", "replicasets", replicaset(2, {"replicas": 1}))[1:4] == [2, 1, 0]


def test_a_node_says_its_roles_and_that_it_is_cordoned():
    obj = node("n1", labels={"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "infra"}, unschedulable=True)
    obj["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    assert cells_of("", "nodes", obj)[1:3] == ["NotReady,SchedulingDisabled", "infra,worker"]


def test_a_service_shows_node_ports_and_a_balancer_that_has_no_address_yet():
    ports = [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    spec = {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], "ports": ports}
    shown = cells_of("", "services", {"spec": spec})
    assert shown[1:5] == ["LoadBalancer", "10.96.0.9", "<pending>", "80:30080/TCP,53/UDP"]


def test_long_lists_are_cut_after_three():
    subsets = [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(1, 6)], "ports": [{"port": 80}]}]
    shown = cells_of("", "endpoints", {"subsets": subsets})
    assert shown[1] == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."


def test_an_event_in_a_series_counts_with_the_series():
    about = {"kind": "Pod", "name": "web"}
    series = {"count": 7, "lastObservedTime": "2027-01-15T08:04:00.000000Z"}
    shown = cells_of("", "events", {"involvedObject": about, "series": series, "eventTime": EPOCH, "message": " hi "})
    assert (shown[0], shown[3], shown[6], shown[7], shown[8]) == ("60s", "pod/web", "hi", "5m", 7)


def test_a_job_says_how_long_it_took():
    status = {"succeeded": 2, "startTime": EPOCH, "completionTime": "2027-01-15T08:02:05Z"}
    status["conditions"] = [{"type": "Complete", "status": "True"}]
    shown = cells_of("batch", "jobs", {"spec": {"completions": 2, "template": {}}, "status": status})
    assert shown[1:4] == ["Complete", "2/2", "2m5s"]


def test_an_autoscaler_names_two_metrics():
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 60}}}
    queue = {"type": "External", "external": {"metric": {"name": "q"}, "target": {"averageValue": "10"}}}
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5, "metrics": [cpu, queue, cpu]}
    measured = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 33}}}]
    shown = cells_of(
        "autoscaling", "horizontalpodautoscalers", {"spec": spec, "status": {"currentMetrics": measured}}, "v2"
    )
    assert shown[1:4] == ["Deployment/web", "cpu: 33%/60%, <unknown>/10 (avg) + 1 more...", "<unset>"]


def test_a_claim_shows_what_it_got_only_when_it_is_bound():
    status = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    unbound = cells_of("", "persistentvolumeclaims", {"spec": {}, "status": status})
    bound = cells_of("", "persistentvolumeclaims", {"spec": {"volumeName": "v"}, "status": status})
    assert (unbound[3:5], bound[3:5]) == (["", ""], ["1Gi", "RWO"])


def test_annotations_that_are_fields_inside_are_not_shown():
    annotations = {"deprecated.daemonset.template.generation": "1"}
    spec = {"template": {}}
    obj = {"metadata": {"name": "d", "annotations": annotations}, "spec": spec}
    table = render(resources.get("apps", "v1", "daemonsets"), [obj], "Metadata")
    assert table["rows"][0]["object"]["metadata"] == {"name": "d"}


def test_an_old_version_shows_the_cells_of_the_stored_one_and_carries_itself():
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}, "maxReplicas": 5}
    obj = {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2", "metadata": {"name": "h"}, "spec": spec}
    table = render(resources.get("autoscaling", "v1", "horizontalpodautoscalers"), [obj], "Object", now=NOW)
    assert table["rows"][0]["object"]["apiVersion"] == "autoscaling/v1"


def test_a_role_shows_when_it_was_made():
    obj = {"metadata": {"name": "r", "creationTimestamp": EPOCH}}
    assert cells_of("rbac.authorization.k8s.io", "roles", obj) == ["r", EPOCH]
