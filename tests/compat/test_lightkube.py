"""lightkube, the typed client of the Juju people, which applies on the server's side."""

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.core.sort_objects import sort_objects
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Node
from lightkube.types import CascadeType, PatchType

DEPLOYMENT = Deployment.from_dict(
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "r.test/i"}]},
            },
        },
    }
)


@pytest.fixture
def light(server, namespace):
    config = KubeConfig.from_file(str(server.kubeconfig))
    with Client(config=config, namespace=namespace, field_manager="light") as client:
        yield client


def make(name, **labels):
    return ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name=name, labels=labels), data={"k": "v"})


def test_objects_are_created_replaced_patched_and_deleted(light):
    made = light.create(make("a"))
    made.data["k"] = "w"
    assert light.replace(made).data == {"k": "w"}
    patched = light.patch(ConfigMap, "a", {"data": {"x": "y"}}, patch_type=PatchType.MERGE)
    assert patched.data == {"k": "w", "x": "y"}
    light.delete(ConfigMap, "a")
    with pytest.raises(ApiError) as caught:
        light.get(ConfigMap, "a")
    assert (caught.value.status.code, caught.value.status.reason) == (404, "NotFound")


def test_lists_come_in_chunks_and_by_label(light):
    for number in range(5):
        light.create(make(f"a-{number}", tier="web" if number % 2 else "db"))
    assert len(list(light.list(ConfigMap, chunk_size=2))) == 6
    found = light.list(ConfigMap, labels={"tier": "web"})
    assert [config.metadata.name for config in found] == ["a-1", "a-3"]
    assert len(list(light.list(ConfigMap, labels={"tier": ["web", "db"]}))) == 5


def test_applying_changes_only_what_is_ours(light):
    light.create(make("a"), field_manager="other")
    applied = light.apply(ConfigMap(metadata=ObjectMeta(name="a"), data={"x": "y"}, apiVersion="v1", kind="ConfigMap"))
    assert applied.data == {"k": "v", "x": "y"}
    with pytest.raises(ApiError) as caught:
        light.apply(ConfigMap(metadata=ObjectMeta(name="a"), data={"k": "w"}, apiVersion="v1", kind="ConfigMap"))
    assert caught.value.status.code == 409


def test_subresources_are_typed(light):
    light.apply(DEPLOYMENT)
    scale = light.get(Deployment.Scale, "web")
    scale.spec.replicas, scale.metadata.resourceVersion = 2, None  # its controllers write too
    assert light.replace(scale, "web").spec.replicas == 2


def test_waiting_ends_with_the_condition(light):
    light.apply(DEPLOYMENT)
    ready = light.wait(Deployment, "web", for_conditions=["Progressing"])
    assert ready.metadata.name == "web"
    light.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)


def test_a_watch_tells_kind_and_object(light):
    made = light.create(make("a"))
    light.delete(ConfigMap, "a")
    kind, config = next(iter(light.watch(ConfigMap, resource_version=made.metadata.resourceVersion)))
    assert (kind, config.metadata.name) == ("DELETED", "a")


def test_collections_are_deleted(light):
    light.create(make("a"))
    light.deletecollection(ConfigMap)
    assert "a" not in [config.metadata.name for config in light.list(ConfigMap)]


def test_global_objects_need_no_namespace(light, namespace):
    assert light.get(Namespace, namespace).status.phase == "Active"
    assert list(light.list(Node, labels={"none": "such"})) == []
    assert sort_objects([make("a"), light.get(Namespace, namespace)])[0].kind == "Namespace"
