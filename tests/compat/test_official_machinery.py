"""The official Python client: discovery, manifests, tokens, leader election and the answers to "who may"."""

import threading

import pytest
import yaml
from kubernetes import client, dynamic, utils
from kubernetes.client import ApiException
from kubernetes.dynamic.exceptions import BadRequestError, NotFoundError
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

FAR = "2999-01-01T00:00:00.000000Z"
MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {k: v}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "registry.test/web:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


@pytest.fixture
def anything(official, tmp_path):
    """The dynamic client, which knows kinds from discovery alone."""
    return dynamic.DynamicClient(official, cache_file=str(tmp_path / "cache"))


def test_discovery_finds_kinds_and_short_names(anything):
    deployments = anything.resources.get(api_version="apps/v1", kind="Deployment")
    assert (deployments.name, deployments.namespaced, deployments.short_names) == ("deployments", True, ["deploy"])
    assert [found.kind for found in anything.resources.search(short_names=["cm"])] == ["ConfigMap", "ConfigMapList"]


def test_the_dynamic_client_does_it_all(anything, namespace):
    maps = anything.resources.get(api_version="v1", kind="ConfigMap")
    maps.create(namespace=namespace, body={"metadata": {"name": "a"}, "data": {"k": "v"}})
    maps.patch(name="a", namespace=namespace, body={"data": {"k": "w"}}, content_type="application/merge-patch+json")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "y"}}
    applied = maps.server_side_apply(body=body, name="a", namespace=namespace, field_manager="test")
    assert applied.data.to_dict() == {"k": "w", "x": "y"}
    maps.delete(name="a", namespace=namespace)
    with pytest.raises(NotFoundError):
        maps.get(name="a", namespace=namespace)


def test_strict_validation_names_the_unknown_field(anything, namespace):
    maps = anything.resources.get(api_version="v1", kind="ConfigMap")
    with pytest.raises(BadRequestError) as caught:
        body = {"metadata": {"name": "a"}, "dta": {}}
        maps.create(namespace=namespace, body=body, query_params=[("fieldValidation", "Strict")])
    assert 'unknown field \\"dta\\"' in str(caught.value.body)


def test_a_manifest_is_created_by_kind_and_a_second_time_refused(official, core, namespace):
    documents = list(yaml.safe_load_all(MANIFEST))
    utils.create_from_yaml(official, yaml_objects=documents, namespace=namespace)
    assert core.read_namespaced_service("web", namespace).spec.cluster_ip.startswith("10.96.")
    with pytest.raises(utils.FailToCreateError) as caught:
        utils.create_from_yaml(official, yaml_objects=documents, namespace=namespace)
    assert [error.status for error in caught.value.api_exceptions] == [409, 409, 409]


@pytest.fixture
def robot(core, official, namespace):
    """A client that speaks as the namespace's default service account."""
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600))
    token = core.create_namespaced_service_account_token("default", namespace, request).status.token
    own = client.Configuration()
    own.host, own.ssl_ca_cert = official.configuration.host, official.configuration.ssl_ca_cert
    own.api_key["authorization"] = f"Bearer {token}"
    with client.ApiClient(own) as api:
        yield api


def test_a_token_says_who_one_is_and_no_more_is_allowed(robot, namespace):
    review = client.AuthenticationV1Api(robot).create_self_subject_review(client.V1SelfSubjectReview())
    assert review.status.user_info.username == f"system:serviceaccount:{namespace}:default"
    with pytest.raises(ApiException) as caught:
        client.CoreV1Api(robot).list_namespaced_secret(namespace)
    assert caught.value.status == 403 and "cannot list resource" in caught.value.body


def test_a_role_opens_a_door_at_once(official, robot, namespace, config_map):
    rbac = client.RbacAuthorizationV1Api(official)
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "r"}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    binding = {"metadata": {"name": "r"}, "roleRef": reference, "subjects": [subject]}
    rbac.create_namespaced_role_binding(namespace, binding)
    assert client.CoreV1Api(robot).list_namespaced_config_map(namespace).items


def test_a_wrong_token_is_nobody(official):
    own = client.Configuration()
    own.host, own.ssl_ca_cert = official.configuration.host, official.configuration.ssl_ca_cert
    own.api_key["authorization"] = "Bearer nonsense"
    with client.ApiClient(own) as api, pytest.raises(ApiException) as caught:
        client.CoreV1Api(api).list_namespace()
    assert caught.value.status == 401


def test_a_leader_is_elected_and_renews(core, official, namespace, until):
    client.Configuration.set_default(official.configuration)  # the lock makes its own client
    led, lost = threading.Event(), threading.Event()
    lock = LeaseLock("leader", namespace, "me")
    settings = electionconfig.Config(lock, 3, 2, 1, onstarted_leading=led.set, onstopped_leading=lost.set)
    threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True).start()
    assert led.wait(10)
    leases = client.CoordinationV1Api(official)
    first = leases.read_namespaced_lease("leader", namespace).spec
    assert first.holder_identity == "me"
    until(lambda: leases.read_namespaced_lease("leader", namespace).spec.renew_time > first.renew_time)
    leases.patch_namespaced_lease("leader", namespace, {"spec": {"holderIdentity": "other", "renewTime": FAR}})
    assert lost.wait(10)
