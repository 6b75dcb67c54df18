"""Storage, networking, quotas, admission and the other kinds that a cluster is set up with."""

import pytest

from api_builders import complaints, created, typed, update_complaints, updated
from tiphys.api import resources, strategy

NETWORKING, STORAGE = "networking.k8s.io/v1", "storage.k8s.io/v1"
ADMISSION, FLOW = "admissionregistration.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1"
VOLUME = {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}}
CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}


def fields(found):
    return [each.partition(":")[0] for each in found]


def path(**entry):
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    return {
        "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend, **entry}]}}]}
    }


def test_a_volume_comes_from_one_place_and_stays_there():
    assert complaints("v1", "PersistentVolume", VOLUME) == []
    assert complaints("v1", "PersistentVolume", {"spec": {"capacity": {"storage": "1"}, "accessModes": ["x"]}}) == [
        'spec.accessModes: Unsupported value: "x": supported values: "ReadOnlyMany", "ReadWriteMany", '
        '"ReadWriteOnce", "ReadWriteOncePod"',
        "spec: Required value: must specify a volume type",
    ]
    old = created("v1", "PersistentVolume", VOLUME)
    moved = {"spec": {**VOLUME["spec"], "hostPath": {"path": "/other"}, "volumeMode": "Block"}}
    assert fields(update_complaints(old, moved)) == ["spec.persistentvolumesource", "volumeMode"]


def test_a_volume_remembers_when_its_phase_changed():
    old = created("v1", "PersistentVolume", VOLUME)
    before = old["status"]["lastPhaseTransitionTime"] = "2020-01-01T00:00:00Z"
    bound = updated(old, {**VOLUME, "status": {**old["status"], "phase": "Bound"}}, "status")["status"]
    assert (bound["phase"], bound["lastPhaseTransitionTime"] > before) == ("Bound", True)
    same = updated(old, {**VOLUME, "status": {"phase": "Pending"}}, "status")["status"]
    assert same["lastPhaseTransitionTime"] == before


def test_a_claim_names_its_source_twice():
    source = {"kind": "PersistentVolumeClaim", "name": "src"}
    made = created("v1", "PersistentVolumeClaim", {"spec": {**CLAIM["spec"], "dataSourceRef": source}})
    assert made["spec"]["dataSource"] == made["spec"]["dataSourceRef"] == {**source, "apiGroup": None}
    assert made["status"] == {"phase": "Pending"}


def test_a_claim_does_not_change_and_does_not_shrink():
    old = created("v1", "PersistentVolumeClaim", CLAIM)
    assert update_complaints(old, {"spec": {**CLAIM["spec"], "volumeName": "pv"}}) == []
    smaller = {"spec": {**CLAIM["spec"], "resources": {"requests": {"storage": "1Mi"}}}}
    bound = {**old, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    assert fields(update_complaints(bound, smaller)) == ["spec.resources.requests.storage"]
    of_class = {"spec": {**CLAIM["spec"], "storageClassName": "x"}}
    assert update_complaints(old, of_class) == [], "a class that became the default later serves it"
    of_other = {"spec": {**CLAIM["spec"], "storageClassName": "y"}}
    assert fields(update_complaints(created("v1", "PersistentVolumeClaim", of_class), of_other)) == ["spec"]


def test_a_class_makes_what_it_always_made():
    old = created(STORAGE, "StorageClass", {"provisioner": "csi.example.com", "parameters": {"a": "1"}})
    assert (old["reclaimPolicy"], old["volumeBindingMode"]) == ("Delete", "Immediate")
    assert update_complaints(old, {"provisioner": "csi.example.com", "parameters": {"a": "2"}}) == [
        "parameters: Forbidden: updates to parameters are forbidden."
    ]


def test_a_driver_has_a_generation_from_its_first_change_on():
    old = created(STORAGE, "CSIDriver", {"metadata": {"name": "d.example.com"}})
    assert "generation" not in old["metadata"]
    assert updated(old, {"spec": {"requiresRepublish": True}})["metadata"]["generation"] == 1
    assert update_complaints(old, {"spec": {"attachRequired": False}}) == [
        "spec.attachedRequired: Invalid value: false: field is immutable"
    ]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"path": "foo"}, '.path: Invalid value: "foo": must be an absolute path'),
        ({"path": "/a//b"}, ".path: Invalid value: \"/a//b\": must not contain '//'"),
        ({"pathType": None}, ".pathType: Required value: pathType must be specified"),
        ({"backend": {}}, '.backend: Invalid value: "": resource or service backend is required'),
        ({"backend": {"service": {"name": "s", "port": {}}}},
         ".backend: Required value: port name or number is required"),
    ],
)  # fmt: skip
def test_a_path_of_an_ingress_leads_somewhere(entry, complaint):
    assert complaints(NETWORKING, "Ingress", path(**entry)) == [f"spec.rules[0].http.paths[0]{complaint}"]


def test_an_ingress_without_rules_has_a_default():
    assert complaints(NETWORKING, "Ingress", {"spec": {}}) == [
        "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"
    ]
    default = {"service": {"name": "s", "port": {"name": "http"}}}
    assert complaints(NETWORKING, "Ingress", {"spec": {"defaultBackend": default}}) == []


def test_a_policy_rules_what_it_has_rules_for():
    made = typed(NETWORKING, "NetworkPolicy", {"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}})
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert made["spec"]["egress"][0]["ports"] == [{"port": 53, "protocol": "TCP"}]


def test_a_peer_is_a_block_or_a_selector():
    peers = [{}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16", "10.0.0.0/8"]}, "podSelector": {}}]
    found = complaints(NETWORKING, "NetworkPolicy", {"spec": {"podSelector": {}, "ingress": [{"from": peers}]}})
    assert fields(found) == [
        "spec.ingress[0].from[0]",
        "spec.ingress[0].from[1].ipBlock.except[0]",
        "spec.ingress[0].from[1].ipBlock.except[1]",
        "spec.ingress[0].from[1]",
    ]


def test_an_address_is_named_canonically():
    spec = {"spec": {"parentRef": {"resource": "services", "name": "s"}}}
    assert complaints(NETWORKING, "IPAddress", {"metadata": {"name": "10.0.0.1"}, **spec}) == []
    assert complaints(NETWORKING, "IPAddress", {"metadata": {"name": "10.0.00.1"}, **spec}) == [
        'metadata.name: Invalid value: "10.0.00.1": must not have leading 0s'
    ]


def test_a_range_of_services_is_a_network():
    assert complaints(NETWORKING, "ServiceCIDR", {"spec": {"cidrs": ["10.1.0.5/24"]}}) == [
        'spec.cidrs[0]: Invalid value: "10.1.0.5/24": must not have bits set beyond the prefix length'
    ]


def test_a_quota_counts_what_there_is():
    assert complaints("v1", "ResourceQuota", {"spec": {"hard": {"bananas": "1", "pods": "1500m"}}}) == [
        'spec.hard[bananas]: Invalid value: "bananas": must be a standard resource type or fully qualified',
        'spec.hard[bananas]: Invalid value: "bananas": must be a standard resource for quota',
        'spec.hard[pods]: Invalid value: "1500m": must be an integer',
    ]
    quota = {"spec": {"hard": {"requests.cpu": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}}
    found = complaints("v1", "ResourceQuota", quota)
    assert [each.rpartition(": ")[2] for each in found] == [
        "unsupported scope applied to resource",
        "conflicting scopes",
    ]


def test_limits_are_filled_and_in_order():
    item = {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}
    made = typed("v1", "LimitRange", {"spec": {"limits": [item]}})["spec"]["limits"][0]
    assert (made["default"], made["defaultRequest"]) == ({"cpu": "1"}, {"cpu": "1"})
    found = complaints("v1", "LimitRange", {"spec": {"limits": [item]}})
    assert found[0] == 'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'


def test_a_priority_never_changes_and_its_generation_neither():
    old = created("scheduling.k8s.io/v1", "PriorityClass", {"value": 7})
    assert (old["preemptionPolicy"], old["metadata"]["generation"]) == ("PreemptLowerPriority", 1)
    assert update_complaints(old, {"value": 8}) == ["value: Forbidden: may not be changed in an update."]
    assert updated(old, {"value": 7, "description": "x"})["metadata"]["generation"] == 1
    high = complaints("scheduling.k8s.io/v1", "PriorityClass", {"value": 1_000_000_001})
    assert high == ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]


def test_a_webhook_is_asked_over_https():
    hook = {"name": "a.b.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None"}
    found = complaints(
        ADMISSION, "ValidatingWebhookConfiguration", {"webhooks": [{**hook, "clientConfig": {"url": "http://x/a?b=c"}}]}
    )
    assert [each.partition("Invalid value: ")[2].partition(":")[0] for each in found] == ['"http"', '"b=c"']
    made = typed(ADMISSION, "ValidatingWebhookConfiguration", {"webhooks": [hook]})["webhooks"][0]
    assert (made["failurePolicy"], made["timeoutSeconds"], made["matchPolicy"]) == ("Fail", 10, "Equivalent")


def test_a_policy_checks_something_and_its_binding_acts():
    assert fields(complaints(ADMISSION, "ValidatingAdmissionPolicy", {"spec": {}})) == [
        "spec.matchConstraints", "spec.validations", "spec.auditAnnotations",
    ]  # fmt: skip
    bound = {"spec": {"policyName": "p", "validationActions": ["Deny", "Warn"]}}
    assert "must not contain both Deny and Warn" in complaints(ADMISSION, "ValidatingAdmissionPolicyBinding", bound)[0]


def test_queues_are_dealt_from_enough_of_them():
    response = {"type": "Queue", "queuing": {"queues": 4, "handSize": 8}}
    level = {"spec": {"type": "Limited", "limited": {"limitResponse": response}}}
    assert complaints(FLOW, "PriorityLevelConfiguration", level) == [
        "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"
    ]
    limited = typed(FLOW, "PriorityLevelConfiguration", level)["spec"]["limited"]
    assert (limited["nominalConcurrencyShares"], limited["limitResponse"]["queuing"]["queueLengthLimit"]) == (30, 50)


def test_kubernetes_own_schemas_are_fixed():
    spec = {"priorityLevelConfiguration": {"name": "exempt"}}
    (complaint,) = complaints(FLOW, "FlowSchema", {"metadata": {"name": "exempt"}, "spec": spec})
    assert complaint.endswith("spec of 'exempt' must equal the fixed value")


def test_a_verdict_is_given_once():
    kind = ("certificates.k8s.io/v1", "CertificateSigningRequest")
    old = created(*kind, {"spec": {}})
    old["status"] = {"conditions": [{"type": "Denied", "status": "True"}]}
    both = [{"type": "Denied", "status": "True"}, {"type": "Approved", "status": "True"}]
    assert update_complaints(old, {"status": {"conditions": both}}, "approval") == [
        'status.conditions: Invalid value: "Approved": Approved and Denied conditions are mutually exclusive'
    ]
    assert update_complaints(old, {"status": {}}, "approval") == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Denied"'
    ]


def test_an_api_service_is_named_after_its_version():
    spec = {"group": "x.org", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    found = complaints("apiregistration.k8s.io/v1", "APIService", {"metadata": {"name": "v2.x.org"}, "spec": spec})
    assert found == ['metadata.name: Invalid value: "v2.x.org": must be `spec.version+"."+spec.group`: "v1.x.org"']


def test_every_builtin_kind_can_be_prepared():
    for resource in resources.builtin():
        if "/" not in resource.name and "create" in resource.verbs and resource.name != "bindings":
            obj = typed(resource.api_version, resource.kind, {"metadata": {"name": "a"}})
            obj["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z"
            strategy.prepare_create(resource, obj)
            assert obj["metadata"]["name"] == "a"


def test_an_attribute_of_a_device_is_one_value():
    attributes = {"v": {"version": "1.2"}, "w": {"version": "1.2.3-rc.1"}, "two": {"int": 1, "bool": True}}
    devices = [{"name": "a", "attributes": attributes}]
    spec = {"driver": "d.org", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1}, "devices": devices}
    found = complaints("resource.k8s.io/v1", "ResourceSlice", {"spec": spec})
    assert fields(found) == ["spec.devices[0].attributes[v].version", "spec.devices[0].attributes[two]"]
