"""What a NetworkPolicy says, as rules."""

from service_builders import labelled, policy
from tiphys.proxy.policy.rules import read


def ingress(*rules):
    return read(policy(ingress=list(rules))).ingress


def test_without_rules_a_direction_is_closed_and_the_other_stays_open():
    assert (read(policy(ingress=[])).ingress, read(policy(ingress=[])).egress) == ((), None)
    assert (read(policy(egress=[])).ingress, read(policy(egress=[])).egress) == (None, ())


def test_policy_types_that_nobody_said_are_ingress_and_egress_if_it_has_rules():
    only = read(policy(policyTypes=None, ingress=[]))
    both = read(policy(policyTypes=None, ingress=[], egress=[{}]))
    assert (only.ingress, only.egress, both.ingress, both.egress) == ((), None, (), ("return",))


def test_an_empty_rule_allows_everything():
    assert ingress({}) == ("return",)


def test_ports_are_joined_and_have_a_protocol():
    ports = [{"port": 80}, {"port": 81, "endPort": 90}, {"port": 85}, {"port": 53, "protocol": "UDP"}]
    assert ingress({"ports": ports}) == ("tcp dport { 80-90 } return", "udp dport { 53 } return")


def test_a_protocol_without_a_port_takes_all_its_ports():
    assert ingress({"ports": [{"protocol": "UDP"}, {"port": 53, "protocol": "UDP"}]}) == ("meta l4proto udp return",)


def test_a_named_port_is_a_set_of_what_it_means_on_each_pod():
    found = read(policy(ingress=[{"ports": [{"port": "http"}]}]))
    assert found.ingress == ("ip daddr . meta l4proto . th dport @port-tcp-http return",)
    assert [(port.port, port.protocol) for port in found.ports] == [("http", "tcp")]


def test_a_block_goes_without_its_exceptions():
    block = {"ipBlock": {"cidr": "10.0.0.0/30", "except": ["10.0.0.1/32"]}}
    assert ingress({"from": [block]}) == ("ip saddr { 10.0.0.0/32, 10.0.0.2/31 } return",)


def test_blocks_that_leave_no_address_of_version_4_allow_nobody():
    nothing = [{"ipBlock": {"cidr": "fd00::/8"}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]
    assert ingress({"from": nothing}) == ()


def test_selectors_are_one_set_and_blocks_stand_beside_it():
    found = read(policy(egress=[{"to": [labelled(app="db"), {"ipBlock": {"cidr": "192.0.2.0/24"}}]}]))
    [peers] = found.peers
    assert found.egress == (f"ip daddr @{peers.name} return", "ip daddr { 192.0.2.0/24 } return")


def scopes(*peers):
    [found] = read(policy(ingress=[{"from": list(peers)}])).peers
    return lambda namespace, labels, pod: any(scope.includes(namespace, labels, pod) for scope in found.scopes)


def test_a_pod_selector_alone_means_the_policys_namespace():
    includes = scopes(labelled(app="web"))
    assert includes("shop", {}, {"app": "web"})
    assert not includes("other", {}, {"app": "web"}) and not includes("shop", {}, {})


def test_a_namespace_selector_alone_means_all_pods_there():
    includes = scopes({"namespaceSelector": {"matchLabels": {"team": "a"}}})
    assert includes("x", {"team": "a"}, {}) and not includes("x", {}, {})


def test_both_selectors_together_must_hold():
    includes = scopes({"namespaceSelector": {"matchLabels": {"team": "a"}}, **labelled(app="web")})
    assert includes("x", {"team": "a"}, {"app": "web"})
    assert not includes("x", {"team": "a"}, {}) and not includes("x", {}, {"app": "web"})


def test_empty_selectors_mean_everybody():
    assert scopes({"namespaceSelector": {}})("x", {}, {})
    assert scopes({"podSelector": {}})("shop", {}, {}) and not scopes({"podSelector": {}})("x", {}, {})


def test_who_asks_for_the_same_peers_shares_their_set():
    rule = [{"from": [labelled(app="web")]}]
    here, there = read(policy("a", ingress=rule)), read(policy("b", ingress=rule))
    elsewhere = read(policy("c", ingress=rule, namespace="other"))
    assert here.peers == there.peers and here.peers != elsewhere.peers


def test_what_speaks_of_other_namespaces_is_known():
    assert read(policy(ingress=[{"from": [labelled(app="web")]}])).is_local
    assert not read(policy(ingress=[{"from": [{"namespaceSelector": {}}]}])).is_local
    assert not read(policy(ingress=[{"ports": [{"port": "http"}]}])).is_local
