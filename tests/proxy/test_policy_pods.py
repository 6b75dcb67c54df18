"""What pods add because of policies."""

from builders import pod
from service_builders import labelled, policy
from tiphys.network.rules import DropElements, PutChain, PutElements
from tiphys.proxy.claims import Claims
from tiphys.proxy.policy.pods import Placed, Standing, address_of, declared, rules_of
from tiphys.proxy.policy.rules import read

FROM_WEB = [{"from": [labelled(app="web")], "ports": [{"port": 80}]}]


def plan(one, *policies, address="10.1.0.2", here=True, labels=None):
    found = rules_of(Placed(one, address, here), labels or {}, Standing.of(map(read, policies)))
    return found.chains, {name: dict(content) for name, content in found.elements.items()}


def test_a_pod_that_no_policy_speaks_of_adds_nothing():
    assert plan(pod("web")) == ({}, {})
    assert plan(pod("web"), policy(pods={"app": "db"}, ingress=[])) == ({}, {})
    assert plan(pod("web"), policy(namespace="other", ingress=[])) == ({}, {})


def test_a_selected_pod_leads_to_a_chain_that_drops_the_rest():
    chains, elements = plan(pod("web"), policy(ingress=[{"ports": [{"port": 80}]}]))
    [chain] = chains.values()
    assert chain.rules == ("tcp dport { 80 } return", "drop")
    assert elements["policy-ingress"] == {"10.1.0.2": f"jump {chain.name}"} and "policy-egress" not in elements


def test_policies_of_one_direction_leave_the_other_open():
    _, elements = plan(pod("web"), policy(egress=[]))
    assert "policy-egress" in elements and "policy-ingress" not in elements


def test_several_policies_allow_what_any_of_them_allows():
    chains, _ = plan(pod("web"), policy("a", ingress=[{"ports": [{"port": 80}]}]), policy("b", ingress=[]))
    assert [chain.rules for chain in chains.values()] == [("tcp dport { 80 } return", "drop")]
    chains, _ = plan(pod("web"), policy("a", ingress=FROM_WEB), policy("b", ingress=[{}]))
    assert [chain.rules for chain in chains.values()] == [("return", "drop")]


def test_a_pod_elsewhere_is_a_peer_and_nothing_more():
    chains, elements = plan(pod("web", node="n2"), policy(ingress=FROM_WEB), here=False)
    assert chains == {} and list(elements.values()) == [{"10.1.0.2": ""}]


def test_a_named_port_is_the_number_that_the_pod_gives_it():
    ports = [{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]
    one = pod("web", containers=[{"name": "c", "image": "i", "ports": ports}])
    _, elements = plan(one, policy(ingress=[{"ports": [{"port": "http"}]}]), here=False)
    assert elements == {"port-tcp-http": {"10.1.0.2 . tcp . 8080": ""}}


def test_a_namespace_is_asked_for_its_labels():
    peers = [{"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]}]
    guard = policy(ingress=peers, namespace="other")
    assert plan(pod("web"), guard) == ({}, {})
    assert plan(pod("web"), guard, labels={"team": "a"})[1] != {}


def test_only_pods_with_an_address_of_their_own_count():
    one = pod("web")
    one["status"]["podIP"] = "10.1.0.2"
    assert address_of(one) == "10.1.0.2"
    assert address_of({**one, "spec": {**one["spec"], "hostNetwork": True}}) == ""
    assert address_of({**one, "status": {**one["status"], "phase": "Succeeded"}}) == ""
    assert address_of(pod("new")) == ""


def test_a_pod_that_comes_or_goes_changes_elements_alone():
    standing, claims = Standing.of([read(policy(ingress=FROM_WEB))]), Claims()

    def share(name, address):
        return {("pod", name): rules_of(Placed(pod(name), address, True), {}, standing)}

    first = claims.update({("policy", "a"): declared(read(policy(ingress=FROM_WEB))), **share("a", "10.1.0.2")})
    assert any(isinstance(change, PutChain) for change in first)
    assert {type(change) for change in claims.update(share("b", "10.1.0.3"))} == {PutElements}
    gone = {("pod", "b"): rules_of(Placed(pod("b", labels={"x": "y"}), "", False), {}, standing)}
    assert {type(change) for change in claims.update(gone)} == {DropElements}


def test_settled_means_no_commands():
    standing, claims = Standing.of([read(policy(ingress=FROM_WEB))]), Claims()
    share = {("pod", "a"): rules_of(Placed(pod("a"), "10.1.0.2", True), {}, standing)}
    assert claims.update(share) != [] and claims.update(share) == []
