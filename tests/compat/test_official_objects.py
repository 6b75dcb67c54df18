"""The official Python client: objects made, read, listed, changed and deleted; it checks each answer by the schema."""

import json

import pytest
from kubernetes import client
from kubernetes.client import ApiException

PATCHES = [
    ("application/merge-patch+json", {"data": {"a": None, "b": "2"}}),
    ("application/strategic-merge-patch+json", {"data": {"a": None, "b": "2"}}),
    (
        "application/json-patch+json",
        [{"op": "remove", "path": "/data/a"}, {"op": "add", "path": "/data/b", "value": "2"}],
    ),
]
DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "registry.test/web:1", "ports": [{"containerPort": 80}]}]},
        },
    },
}


def failure(call, *arguments, **more):
    """The Status that a call is refused with."""
    with pytest.raises(ApiException) as caught:
        call(*arguments, **more)
    return json.loads(caught.value.body)


def test_an_object_lives_from_create_to_delete(core, namespace, config_map):
    made = config_map("a", {"k": "v"})
    made.data["k"] = "w"
    changed = core.replace_namespaced_config_map("a", namespace, made)
    assert core.read_namespaced_config_map("a", namespace).data == {"k": "w"}
    assert changed.metadata.resource_version != made.metadata.resource_version
    assert core.delete_namespaced_config_map("a", namespace)["status"] == "Success"
    assert failure(core.read_namespaced_config_map, "a", namespace)["reason"] == "NotFound"


def test_a_write_over_a_newer_one_is_a_conflict(core, namespace, config_map):
    made = config_map("a", {"k": "v"})
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "w"}})
    status = failure(core.replace_namespaced_config_map, "a", namespace, made)
    assert (status["code"], status["reason"], status["details"]["name"]) == (409, "Conflict", "a")
    assert "the object has been modified" in status["message"]


def test_an_invalid_object_is_refused_with_causes(apps, namespace):
    broken = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "selector": {"matchLabels": {"app": "other"}}}}
    status = failure(apps.create_namespaced_deployment, namespace, broken)
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert [cause["field"] for cause in status["details"]["causes"]] == ["spec.template.metadata.labels"]


@pytest.mark.parametrize(("kind", "patch"), PATCHES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_patch_changes_the_same(core, namespace, config_map, kind, patch):
    config_map("a", {"a": "1"})
    assert core.patch_namespaced_config_map("a", namespace, patch, _content_type=kind).data == {"b": "2"}


def test_applying_owns_fields_and_refuses_those_of_others(core, namespace):
    def apply(manager, value, **more):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": value}}
        kind = "application/apply-patch+yaml"
        return core.patch_namespaced_config_map("a", namespace, body, field_manager=manager, _content_type=kind, **more)

    assert apply("alice", "1").metadata.managed_fields[0].operation == "Apply"
    status = failure(apply, "bob", "2")
    assert (status["code"], status["details"]["causes"][0]["reason"]) == (409, "FieldManagerConflict")
    taken = apply("bob", "2", force=True)
    assert [entry.manager for entry in taken.metadata.managed_fields] == ["bob"]


def test_long_lists_come_in_pages(core, namespace, config_map):
    for number in range(5):
        config_map(f"a-{number}")
    names, more, left = [], None, []
    while more != "":
        page = core.list_namespaced_config_map(namespace, limit=2, _continue=more, field_selector=None)
        names += [item.metadata.name for item in page.items]
        left.append(page.metadata.remaining_item_count)
        more = page.metadata._continue or ""
    assert names == ["a-0", "a-1", "a-2", "a-3", "a-4", "kube-root-ca.crt"]
    assert left == [4, 2, None]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"label_selector": "tier=web"}, ["a"]),
        ({"label_selector": "tier in (web, db),!old"}, ["a"]),
        ({"label_selector": "tier"}, ["a", "b"]),
        ({"field_selector": "metadata.name=c"}, ["c"]),
        ({"field_selector": "metadata.name!=a,metadata.name!=kube-root-ca.crt"}, ["b", "c"]),
    ],
    ids=str,
)
def test_selectors_choose(core, namespace, config_map, selector, names):
    config_map("a", tier="web")
    config_map("b", tier="db", old="yes")
    config_map("c")
    found = core.list_namespaced_config_map(namespace, **selector).items
    assert [item.metadata.name for item in found if item.metadata.name != "kube-root-ca.crt"] == names


def test_a_selector_that_no_kind_has_is_refused(core, namespace):
    status = failure(core.list_namespaced_config_map, namespace, field_selector="spec.x=1")
    assert (status["code"], status["reason"]) == (400, "BadRequest")


def test_a_collection_is_deleted_by_selector(core, namespace, config_map):
    config_map("a", tier="web")
    config_map("b", tier="db")
    core.delete_collection_namespaced_config_map(namespace, label_selector="tier=web")
    assert "a" not in {item.metadata.name for item in core.list_namespaced_config_map(namespace).items}


def test_a_dry_run_changes_nothing(core, namespace):
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}}, dry_run="All")
    assert failure(core.read_namespaced_config_map, "a", namespace)["code"] == 404


def test_scale_and_status_are_separate_doors(apps, namespace):
    apps.create_namespaced_deployment(namespace, DEPLOYMENT)
    scale = apps.read_namespaced_deployment_scale("web", namespace)
    assert (scale.spec.replicas, scale.status.selector) == (2, "app=web")
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 3}})
    assert apps.read_namespaced_deployment("web", namespace).spec.replicas == 3
    assert apps.patch_namespaced_deployment_status("web", namespace, {"spec": {"replicas": 9}}).spec.replicas == 3


def test_a_pod_without_a_node_has_no_logs_and_can_be_evicted(core, namespace):
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "registry.test/web:1"}]}}
    core.create_namespaced_pod(namespace, body)
    assert failure(core.read_namespaced_pod_log, "none", namespace)["message"] == 'pods "none" not found'
    wrong = failure(core.read_namespaced_pod_log, "p", namespace, container="x")
    assert (wrong["code"], wrong["message"]) == (400, "container x is not valid for pod p")
    core.create_namespaced_pod_eviction("p", namespace, client.V1Eviction(metadata=client.V1ObjectMeta(name="p")))
    assert failure(core.read_namespaced_pod, "p", namespace)["reason"] == "NotFound"


def test_a_deployment_makes_pods_and_takes_them_along(apps, core, namespace, until):
    apps.create_namespaced_deployment(namespace, DEPLOYMENT)
    until(lambda: len(core.list_namespaced_pod(namespace, label_selector="app=web").items) == 2)
    assert until(lambda: apps.read_namespaced_deployment("web", namespace).status.conditions)
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")
    until(
        lambda: not core.list_namespaced_pod(namespace).items and not apps.list_namespaced_deployment(namespace).items
    )


def test_quantities_dates_and_bytes_are_what_the_client_expects(core, namespace):
    secret = core.create_namespaced_secret(namespace, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert (secret.data, secret.type) == ({"k": "dg=="}, "Opaque")
    assert secret.metadata.creation_timestamp.tzinfo is not None
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0.5k", "requests.memory": "1024Mi"}}}
    assert core.create_namespaced_resource_quota(namespace, quota).spec.hard == {
        "pods": "500",
        "requests.memory": "1Gi",
    }
