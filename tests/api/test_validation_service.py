"""Services: defaults, what is refused, and what a change of type drops."""

import pytest

from api_builders import complaints, created, typed, update_complaints, updated
from tiphys.api import resources, strategy


def service(**spec):
    addresses = {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}
    return {"metadata": {"name": "web"}, "spec": {**addresses, "ports": [{"port": 80}], **spec}}


def wrong(**spec):
    return complaints("v1", "Service", service(**spec))


def test_defaults_of_a_cluster_service():
    spec = typed("v1", "Service", service())["spec"]
    assert spec["ports"] == [{"port": 80, "targetPort": 80, "protocol": "TCP"}]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")
    assert "externalTrafficPolicy" not in spec


def test_defaults_of_a_load_balancer():
    spec = typed("v1", "Service", service(type="LoadBalancer", sessionAffinity="ClientIP"))["spec"]
    assert spec["externalTrafficPolicy"] == "Cluster"
    assert spec["allocateLoadBalancerNodePorts"] is True
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


def test_names_are_dns_labels_that_may_begin_with_a_digit():
    assert complaints("v1", "Service", {**service(), "metadata": {"name": "9web"}}) == []
    assert complaints("v1", "Service", {**service(), "metadata": {"name": "a.b"}}) == [
        'metadata.name: Invalid value: "a.b": must not contain dots'
    ]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        ({"ports": [{"port": 80, "nodePort": 30001}]},
         "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
        ({"ports": [{"port": 80, "targetPort": "8080"}]},
         'spec.ports[0].targetPort: Invalid value: "8080": must contain at least one letter (a-z)'),
        ({"sessionAffinity": "Cookie"},
         'spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"'),
        ({"externalTrafficPolicy": "Local"},
         'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'),
        ({"loadBalancerClass": "a/b"},
         "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"),
        ({"externalIPs": ["127.0.0.1"]},
         'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'),
        ({"trafficDistribution": "Near"},
         'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", '
         '"PreferSameZone"'),
    ],
)  # fmt: skip
def test_what_a_service_may_not_say(spec, complaint):
    assert wrong(**spec) == [complaint]


def test_several_ports_have_several_names():
    assert wrong(ports=[{"port": 80}, {"port": 443}]) == [
        "spec.ports[0].name: Required value",
        "spec.ports[1].name: Required value",
    ]


def test_a_port_is_served_once_by_each_protocol():
    (complaint,) = wrong(ports=[{"port": 80, "name": "a"}, {"port": 80, "name": "b"}])
    shown = '{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}'
    assert complaint == f"spec.ports[1]: Duplicate value: {shown}"
    assert wrong(ports=[{"port": 53, "name": "a"}, {"port": 53, "name": "b", "protocol": "UDP"}]) == []


def test_a_headless_service_is_of_the_cluster_and_needs_no_ports():
    headless = {"clusterIP": "None", "clusterIPs": ["None"]}
    assert wrong(**headless, ports=[]) == []
    text = "may not be set to 'None' for NodePort services"
    assert wrong(**headless, type="NodePort") == [f'spec.clusterIPs[0]: Invalid value: "None": {text}']


def test_an_external_name_is_a_name_and_no_address():
    spec = {"type": "ExternalName", "externalName": "X_bad", "clusterIP": None}
    found = complaints("v1", "Service", service(**spec))
    assert found[0] == "spec.clusterIPs: Forbidden: may not be set for ExternalName services"
    assert found[1].startswith('spec.externalName: Invalid value: "X_bad": a lowercase RFC 1123 subdomain')


def test_an_address_stays():
    old = created("v1", "Service", service())
    new = service(clusterIP="10.96.0.10", clusterIPs=["10.96.0.10"])
    assert update_complaints(old, new) == ['spec.clusterIPs[0]: Invalid value: ["10.96.0.10"]: may not change once set']


def test_node_ports_go_with_the_type():
    old = created("v1", "Service", service(type="NodePort", ports=[{"port": 80, "nodePort": 30001}]))
    spec = updated(old, service(ports=[{"port": 80, "nodePort": 30001}], externalTrafficPolicy="Cluster"))["spec"]
    assert spec["ports"] == [{"port": 80, "targetPort": 80, "protocol": "TCP"}]
    assert "externalTrafficPolicy" not in spec


def test_a_cluster_service_that_becomes_a_name_loses_its_address():
    old = created("v1", "Service", service(ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack"))
    new = service(type="ExternalName", externalName="x.org", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    spec = updated(old, {**new, "spec": {**new["spec"], "internalTrafficPolicy": "Cluster"}})["spec"]
    assert spec.keys() == {"type", "externalName", "ports", "sessionAffinity"}


def test_only_a_load_balancer_has_outer_addresses():
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    text = "may only be used when `spec.type` is 'LoadBalancer'"
    old = created("v1", "Service", service())
    new = {**service(), "status": status}
    assert update_complaints(old, new, "status") == [f"status.loadBalancer.ingress: Forbidden: {text}"]
    balanced = created("v1", "Service", service(type="LoadBalancer"))
    assert update_complaints(balanced, new, "status") == []
    assert updated(balanced, new, "status")["status"]["loadBalancer"]["ingress"][0]["ipMode"] == "VIP"


def test_what_a_headless_service_ignores_is_told():
    obj = created("v1", "Service", service(clusterIP="None", clusterIPs=["None"], externalIPs=["192.0.2.1"]))
    found = strategy.warnings_of(resources.get("", "v1", "services"), obj, None)
    assert found == ["spec.externalIPs is ignored for headless services"]
