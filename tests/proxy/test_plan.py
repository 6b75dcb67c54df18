"""What a Service adds to the rules."""

import pytest

from service_builders import endpoint, endpoints, service
from tiphys.network.conntrack import Flow
from tiphys.network.rules import Ruleset
from tiphys.proxy.claims import Claims
from tiphys.proxy.flows import astray
from tiphys.proxy.plan import rules_of
from tiphys.proxy.settings import ProxySettings

SETTINGS = ProxySettings("n1")
KEY = "10.92.0.10 . tcp . 80"


def plan(obj, *slices, settings=SETTINGS) -> dict[str, dict[str, str]]:
    elements = rules_of(obj, slices, settings).elements
    return {name: content for name, content in elements.items() if content}


def targets(obj, *slices, settings=SETTINGS) -> list[str]:
    return list(plan(obj, *slices, settings=settings).get("endpoints", {}).values())


def test_a_cluster_address_leads_to_its_ready_endpoints():
    planned = plan(service(), endpoints("web", "10.1.0.2", "10.1.0.3"))
    assert planned["services"] == {KEY: "goto pick-2"}
    assert planned["endpoints"] == {f"{KEY} . 0": "10.1.0.2 . 8080", f"{KEY} . 1": "10.1.0.3 . 8080"}


def test_without_endpoints_connections_are_refused():
    assert plan(service()) == {"refused": {KEY: "goto refuse"}}


@pytest.mark.parametrize(
    "unserved",
    [
        service(clusterIP="None"),
        service(clusterIP=""),
        service(type="ExternalName", externalName="example.com"),
        service(labels={"service.kubernetes.io/service-proxy-name": "other"}),
        service(clusterIP="fd00::10"),
    ],
)
def test_what_has_no_virtual_address_here_adds_nothing(unserved):
    assert plan(unserved, endpoints("web", "10.1.0.2")) == {}


def test_an_endpoint_that_is_not_ready_gets_nothing():
    assert targets(service(), endpoints("web", "10.1.0.2", endpoint("10.1.0.3", ready=False))) == ["10.1.0.2 . 8080"]


def test_terminating_endpoints_serve_only_where_none_is_ready():
    leaving = endpoint("10.1.0.3", ready=False, serving=True, terminating=True)
    assert targets(service(), endpoints("web", "10.1.0.2", leaving)) == ["10.1.0.2 . 8080"]
    assert targets(service(), endpoints("web", leaving)) == ["10.1.0.3 . 8080"]


def test_a_terminating_endpoint_that_no_longer_serves_gets_nothing():
    gone = endpoint("10.1.0.3", ready=False, serving=False, terminating=True)
    assert targets(service(), endpoints("web", gone)) == []


def test_an_endpoint_in_two_slices_counts_once():
    slices = [endpoints("web", "10.1.0.2"), endpoints("web", "10.1.0.2", suffix="2")]
    assert targets(service(), *slices) == ["10.1.0.2 . 8080"]


def test_ports_meet_by_name():
    obj = service("web", {"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"})
    planned = plan(
        obj,
        endpoints("web", "10.1.0.2", port_name="http"),
        endpoints("web", "10.1.0.2", port_name="dns", protocol="UDP", port=5353, suffix="2"),
    )
    assert planned["endpoints"] == {
        "10.92.0.10 . tcp . 80 . 0": "10.1.0.2 . 8080",
        "10.92.0.10 . udp . 53 . 0": "10.1.0.2 . 5353",
    }


def test_a_node_port_is_masqueraded():
    obj = service("web", {"port": 80, "nodePort": 30080}, type="NodePort")
    planned = plan(obj, endpoints("web", "10.1.0.2"))
    assert planned["ports"] == {"tcp . 30080": "goto pick-port-1"}
    assert planned["port-endpoints"] == {"tcp . 30080 . 0": "10.1.0.2 . 8080"}
    assert planned["masqueraded-ports"] == {"tcp . 30080": ""}


def test_with_the_local_policy_outsiders_stay_on_the_node_and_keep_their_source():
    obj = service("web", {"port": 80, "nodePort": 30080}, type="NodePort", externalTrafficPolicy="Local")
    planned = plan(obj, endpoints("web", "10.1.0.2", endpoint("10.2.0.2", node="n2")))
    assert planned["outside-port-endpoints"] == {"tcp . 30080 . 0": "10.1.0.2 . 8080"}
    assert len(planned["port-endpoints"]) == 2 and "masqueraded-ports" not in planned


def test_with_the_local_policy_and_endpoints_elsewhere_packets_are_dropped():
    obj = service("web", {"port": 80, "nodePort": 30080}, type="NodePort", externalTrafficPolicy="Local")
    planned = plan(obj, endpoints("web", endpoint("10.2.0.2", node="n2")))
    assert planned["outside-refused-ports"] == {"tcp . 30080": "goto discard"}


def test_the_internal_local_policy_stays_on_the_node():
    obj = service(internalTrafficPolicy="Local")
    assert targets(obj, endpoints("web", "10.1.0.2", endpoint("10.2.0.2", node="n2"))) == ["10.1.0.2 . 8080"]
    assert plan(obj, endpoints("web", endpoint("10.2.0.2", node="n2")))["refused"] == {KEY: "goto discard"}


def test_external_and_load_balancer_addresses_lead_there_too():
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}, {"ip": "192.0.2.10", "ipMode": "Proxy"}]}}
    obj = service(type="LoadBalancer", externalIPs=["192.0.2.8"], status=status)
    planned = plan(obj, endpoints("web", "10.1.0.2"))
    assert list(planned["services"]) == [KEY, "192.0.2.8 . tcp . 80", "192.0.2.9 . tcp . 80"]
    assert list(planned["masqueraded"]) == ["192.0.2.8 . tcp . 80", "192.0.2.9 . tcp . 80"]


def test_source_ranges_guard_the_load_balancer():
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}
    obj = service(type="LoadBalancer", status=status, loadBalancerSourceRanges=["10.0.0.0/8", "10.1.0.0/16", "x"])
    ruleset = rules_of(obj, [endpoints("web", "10.1.0.2")], SETTINGS)
    (guard,) = [chain for chain in ruleset.chains.values() if chain.name.startswith("sources")]
    assert guard.rules == ("ip saddr != { 10.0.0.0/8 } drop",)
    assert ruleset.elements["firewall"] == {"192.0.2.9 . tcp . 80": f"jump {guard.name}"}


def test_affinity_gives_each_endpoint_a_set_of_clients():
    obj = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    ruleset = rules_of(obj, [endpoints("web", "10.1.0.2", "10.1.0.3")], SETTINGS)
    assert len(ruleset.collections) == 2 and len(ruleset.chains) == 3
    assert all("timeout 60s" in made.options for made in ruleset.collections.values())


def test_hints_narrow_the_choice_only_when_every_endpoint_has_one():
    settings = ProxySettings("n1", zone="a")
    near, far = endpoint("10.1.0.2"), endpoint("10.1.0.3")
    near["hints"], far["hints"] = {"forZones": [{"name": "a"}]}, {"forZones": [{"name": "b"}]}
    assert targets(service(), endpoints("web", near, far), settings=settings) == ["10.1.0.2 . 8080"]
    assert len(targets(service(), endpoints("web", near, "10.1.0.4"), settings=settings)) == 2


@pytest.mark.parametrize("address", ["1.2.3", "1.2.3.4; flush ruleset", "fd00::1", "example.com"])
def test_nothing_but_an_address_reaches_a_command(address):
    assert targets(service(), endpoints("web", address)) == []


def test_claims_of_an_unchanged_service_change_nothing():
    claims = Claims()
    ruleset = rules_of(service(), [endpoints("web", "10.1.0.2")], SETTINGS)
    claims.update({("shop", "web"): ruleset})
    assert claims.update({("shop", "web"): rules_of(service(), [endpoints("web", "10.1.0.2")], SETTINGS)}) == []


def test_claims_lead_to_the_sum_of_what_is_claimed():
    claims, table = Claims(), Ruleset.of([])
    one = rules_of(service(), [endpoints("web", "10.1.0.2")], SETTINGS)
    two = rules_of(service("db", clusterIP="10.92.0.11"), [endpoints("db", "10.1.0.3")], SETTINGS)
    table.elements = {"services": {}, "endpoints": {}}
    for change in [
        *claims.update({("shop", "web"): one, ("shop", "db"): two}),
        *claims.update({("shop", "web"): Ruleset()}),
    ]:
        table.perform(change)
    assert table == two


def test_the_first_by_name_gets_an_address_that_two_services_claim():
    claims = Claims()
    both = {"externalIPs": ["192.0.2.8"]}
    claims.update({("shop", "b"): rules_of(service("b", clusterIP="10.92.0.2", **both), [], SETTINGS)})
    served = rules_of(service("a", clusterIP="10.92.0.1", **both), [endpoints("a", "10.1.0.2")], SETTINGS)
    claims.update({("shop", "a"): served})
    (change,) = [c for c in claims.update({("shop", "a"): Ruleset()}) if getattr(c, "collection", "") == "endpoints"]
    assert "192.0.2.8 . tcp . 80 . 0" in change.keys


def test_a_lost_udp_endpoint_and_a_first_one_leave_flows_to_forget():
    port = {"port": 53, "protocol": "UDP"}
    none, one, other = (
        rules_of(service("dns", port), [endpoints("dns", *addresses, protocol="UDP")] if addresses else [], SETTINGS)
        for addresses in ((), ("10.1.0.2",), ("10.1.0.3",))
    )
    assert astray(one, other) == {Flow("10.92.0.10", 53, "10.1.0.2", 8080)}
    assert astray(none, one) == {Flow("10.92.0.10", 53)}
    assert astray(one, one) == set()


def test_tcp_flows_end_by_themselves():
    assert astray(rules_of(service(), [endpoints("web", "10.1.0.2")], SETTINGS), Ruleset()) == set()
