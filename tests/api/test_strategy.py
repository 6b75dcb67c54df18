"""What the server itself drops, sets and bumps."""

from api_builders import created, typed, updated
from tiphys.api import resources, strategy

POLICY = {"spec": {"podSelector": {}}}


def test_a_new_object_has_no_status_of_its_own_making():
    assert created("apps/v1", "Deployment", {"spec": {}, "status": {"replicas": 9}})["status"] == {}
    assert created("apps/v1", "DaemonSet", {"spec": {}})["status"]["desiredNumberScheduled"] == 0


def test_the_generation_counts_changes_of_the_spec():
    old = created("networking.k8s.io/v1", "NetworkPolicy", POLICY)
    assert old["metadata"]["generation"] == 1
    labelled = updated(old, {**POLICY, "metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    changed = updated(old, {"spec": {"podSelector": {}, "policyTypes": ["Egress"]}})
    assert changed["metadata"]["generation"] == 2


def test_a_kind_without_a_spec_counts_all_that_it_has():
    piece = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}
    old = created("discovery.k8s.io/v1", "EndpointSlice", piece)
    assert updated(old, {**piece, "endpoints": []})["metadata"]["generation"] == 2


def test_kinds_without_a_generation_keep_what_the_client_said():
    assert "generation" not in created("v1", "ConfigMap", {})["metadata"]
    assert created("v1", "ConfigMap", {"metadata": {"generation": 7}})["metadata"]["generation"] == 7


def test_the_two_paths_keep_each_others_half():
    old = created("v1", "ResourceQuota", {"spec": {"hard": {"pods": "1"}}})
    both = {"spec": {"hard": {"pods": "2"}}, "status": {"used": {"pods": "1"}}}
    assert updated(old, both)["status"] == {}
    by_status = updated(old, both, "status")
    assert (by_status["spec"]["hard"], by_status["status"]["used"]) == ({"pods": "1"}, {"pods": "1"})


def test_a_node_brings_its_status_along_and_then_not_again():
    old = created("v1", "Node", {"status": {"capacity": {"cpu": "4"}}})
    assert old["status"]["allocatable"] == {"cpu": "4"}
    assert updated(old, {"status": {"capacity": {"cpu": "8"}}})["status"] == old["status"]


def test_a_namespace_begins_active_and_held():
    made = created("v1", "Namespace", {"metadata": {"name": "shop"}, "status": {"phase": "Terminating"}})
    assert made["status"] == {"phase": "Active"}
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}


def test_only_finalize_lets_a_namespace_go():
    old = created("v1", "Namespace", {"metadata": {"name": "shop"}})
    free = {"metadata": {"name": "shop"}, "spec": {}}
    assert updated(old, free)["spec"] == {"finalizers": ["kubernetes"]}
    assert updated(old, free, "finalize")["spec"] == {}


def test_plain_text_of_a_secret_becomes_its_data():
    made = typed("v1", "Secret", {"stringData": {"user": "bob"}, "data": {"user": "eA==", "key": "eA=="}})
    assert made["data"] == {"user": "Ym9i", "key": "eA=="}
    assert (made["type"], "stringData" in made) == ("Opaque", False)


def test_an_unreadable_certificate_is_only_warned_of():
    pair = {"type": "kubernetes.io/tls", "stringData": {"tls.crt": "no", "tls.key": "no"}}
    found = strategy.warnings_of(resources.get("", "v1", "secrets"), created("v1", "Secret", pair), None)
    assert found == ["tls: failed to find any PEM data in certificate input"]


def test_a_signer_leaves_the_verdict_alone():
    old = created("certificates.k8s.io/v1", "CertificateSigningRequest", {"spec": {}})
    old["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    new = {"status": {"conditions": [{"type": "Denied", "status": "True"}], "certificate": "eA=="}}
    status = updated(old, new, "status")["status"]
    assert [each["type"] for each in status["conditions"]] == ["Approved"]
    assert status["certificate"] == "eA=="
    assert "certificate" not in updated(old, new, "approval")["status"]
