"""ConfigMaps, Secrets, Nodes, Events, Leases, roles and endpoints: what is refused and in which words."""

import pytest

from api_builders import complaints, created, typed, update_complaints
from tiphys.api import resources, validation

RBAC = "rbac.authorization.k8s.io/v1"
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
LOCKED = "Forbidden: field is immutable when `immutable` is set"


def test_a_key_of_a_config_map_is_a_file_name_and_in_one_map():
    assert complaints("v1", "ConfigMap", {"data": {"a.b_c-D": ""}}) == []
    assert complaints("v1", "ConfigMap", {"data": {"a": "x"}, "binaryData": {"a": "eA=="}}) == [
        'data[a]: Invalid value: "a": duplicate of key present in binaryData'
    ]
    assert complaints("v1", "ConfigMap", {"data": {"..": ""}}) == ["data[..]: Invalid value: \"..\": must not be '..'"]


def test_a_config_map_holds_a_megabyte_of_bytes():
    assert complaints("v1", "ConfigMap", {"data": {"a": "x" * 1048576}}) == []
    assert complaints("v1", "ConfigMap", {"data": {"a": "é" * 524289}}) == [
        ": Too long: may not be more than 1048576 bytes"
    ]


def test_what_is_immutable_stays_so_and_stays_the_same():
    old = created("v1", "ConfigMap", {"immutable": True, "data": {"a": "1"}})
    assert update_complaints(old, {"data": {"a": "2"}}) == [f"immutable: {LOCKED}", f"data: {LOCKED}"]
    assert update_complaints(old, {**old, "metadata": {"labels": {"a": "b"}}}) == []


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("kubernetes.io/tls", ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        ("kubernetes.io/basic-auth", ["data[username]: Required value", "data[password]: Required value"]),
        ("kubernetes.io/ssh-auth", ["data[ssh-privatekey]: Required value"]),
        ("kubernetes.io/dockerconfigjson", ["data[.dockerconfigjson]: Required value"]),
        ("kubernetes.io/service-account-token",
         ["metadata.annotations[kubernetes.io/service-account.name]: Required value"]),
        ("example.com/own", []),
    ],
)  # fmt: skip
def test_a_type_of_secret_asks_for_its_keys(kind, found):
    assert complaints("v1", "Secret", {"type": kind}) == found


def test_a_type_of_secret_stays_and_its_content_is_not_shown():
    old = created("v1", "Secret", {"type": "a/b"})
    assert update_complaints(old, {}) == ['type: Invalid value: "Opaque": field is immutable']
    (complaint,) = complaints(
        "v1", "Secret", {"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "{secret"}}
    )
    assert complaint.startswith('data[.dockercfg]: Invalid value: "<secret contents redacted>": invalid character')


def test_taints_differ_by_key_and_effect():
    taints = [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "value": "v", "effect": "NoSchedule"}, {"key": "c"}]
    shown = '{"Key":"a","Value":"v","Effect":"NoSchedule","TimeAdded":null}'
    assert complaints("v1", "Node", {"spec": {"taints": taints}}) == [
        f"metadata.taints[1]: Duplicate value: {shown}: taints must be unique by key and effect pair",
        "metadata.taints[2].effect: Required value",
    ]


def test_the_older_field_of_a_nodes_network_wins():
    node = typed("v1", "Node", {"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.1.0.0/24"]}})
    assert node["spec"]["podCIDRs"] == ["10.0.0.0/24"]
    old = created("v1", "Node", {"spec": {"podCIDR": "10.0.0.0/24", "providerID": "a"}})
    found = update_complaints(old, {"spec": {"podCIDR": "10.9.0.0/24", "providerID": "b"}})
    assert [each.partition(":")[0] for each in found] == ["spec.podCIDRs", "spec.providerID"]


def test_amounts_are_not_negative_and_devices_are_whole():
    old = created("v1", "Node", {})
    status = {"capacity": {"example.com/gpu": "1500m", "cpu": "1500m"}, "allocatable": {"cpu": "-1"}}
    assert update_complaints(old, {"status": status}, "status") == [
        'status.capacity.example.com/gpu: Invalid value: "1500m": must be an integer',
        'status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0',
    ]


def test_an_event_is_where_its_object_is():
    assert complaints("v1", "Event", {"involvedObject": {"namespace": "shop"}}) == []
    assert complaints("v1", "Event", {"involvedObject": {"namespace": "other"}}) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]


def test_the_events_group_is_stricter_than_the_core():
    stored = created("v1", "Event", {"involvedObject": {"namespace": "shop"}, "count": 2})
    core, newer = resources.get("", "v1", "events"), resources.get("events.k8s.io", "v1", "events")
    assert validation.validate_create(core, stored, requested=core) == []
    found = [str(error) for error in validation.validate_create(core, stored, requested=newer)]
    assert found[0] == "eventTime: Required value"
    assert found[-1] == 'count: Invalid value: "": needs to be unset'


def test_a_lease_lasts_and_is_counted():
    lease = {"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1, "strategy": "Oldest"}}
    assert complaints("coordination.k8s.io/v1", "Lease", lease) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
    ]
    assert "strategy" not in created("coordination.k8s.io/v1", "Lease", lease)["spec"]


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"resources": ["pods"], "apiGroups": [""]},
         "rules[0].verbs: Required value: verbs must contain at least one value"),
        ({"verbs": ["get"], "apiGroups": [""]},
         "rules[0].resources: Required value: resource rules must supply at least one resource"),
        ({"verbs": ["get"], "nonResourceURLs": ["/x"]},
         'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'),
    ],
)  # fmt: skip
def test_a_rule_is_complete(rule, complaint):
    assert complaints(RBAC, "Role", {"rules": [rule]}) == [complaint]


def test_roles_have_free_names_and_show_no_empty_list():
    assert complaints(RBAC, "Role", {"metadata": {"name": "system:Any_Thing"}, "rules": []}) == []
    assert complaints(RBAC, "Role", {"metadata": {"name": "a/b"}}) == [
        "metadata.name: Invalid value: \"a/b\": may not contain '/'"
    ]
    assert created(RBAC, "Role", {"rules": []})["rules"] is None


def test_subjects_are_of_three_kinds():
    subjects = [{"kind": "User"}, {"kind": "Robot", "name": "x"}, {"kind": "Group", "name": "g", "apiGroup": "v1"}]
    assert complaints(RBAC, "RoleBinding", {"roleRef": ROLE, "subjects": subjects}) == [
        "subjects[0].name: Required value",
        'subjects[1].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
        'subjects[2].apiGroup: Unsupported value: "v1": supported values: "rbac.authorization.k8s.io"',
    ]


def test_a_binding_binds_one_role_for_life():
    old = created(RBAC, "RoleBinding", {"roleRef": ROLE})
    assert update_complaints(old, {"roleRef": {**ROLE, "name": "other"}}) == [
        'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"other"}: '
        "cannot change roleRef"
    ]


def test_endpoints_have_addresses_that_others_can_reach():
    subsets = [{"addresses": [{"ip": "10.0.0"}, {"ip": "127.0.0.1"}], "ports": [{"port": 1}]}, {"ports": [{"port": 1}]}]
    assert complaints("v1", "Endpoints", {"subsets": subsets}) == [
        'subsets[0].addresses[0].ip: Invalid value: "10.0.0": must be a valid IP address, '
        "(e.g. 10.9.8.7 or 2001:db8::ffff)",
        'subsets[0].addresses[0].ip: Invalid value: "10.0.0": must be a valid IP address',
        'subsets[0].addresses[1].ip: Invalid value: "127.0.0.1": may not be in the loopback range '
        "(127.0.0.0/8, ::1/128)",
        "subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`",
    ]


def test_a_slice_is_of_one_kind_of_address():
    piece = {"addressType": "IPv6", "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": []}]}
    found = complaints("discovery.k8s.io/v1", "EndpointSlice", piece)
    assert found[0] == 'endpoints[0].addresses[0]: Invalid value: "10.0.0.1": must be an IPv6 address'
    assert found[1] == "endpoints[1].addresses: Required value: must contain at least 1 address"
    old = created("discovery.k8s.io/v1", "EndpointSlice", {"addressType": "IPv4"})
    assert update_complaints(old, {"addressType": "IPv6"}) == ['addressType: Invalid value: "IPv6": field is immutable']
