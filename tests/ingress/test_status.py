"""What an Ingress says of itself."""

from builders import node
from ingress_builders import ingress, rule
from tiphys.ingress.status import others, plan
from tiphys.reconcile.commands import Patch, Say

OWN = "10.0.0.1"


def with_addresses(*addresses):
    return {**ingress("i", rule("")), "status": {"loadBalancer": {"ingress": [{"ip": one} for one in addresses]}}}


def test_a_node_writes_its_own_address_and_says_so():
    patch, said = plan(ingress("i", rule("")), OWN, set())
    assert isinstance(patch, Patch) and patch.patch["status"] == {"loadBalancer": {"ingress": [{"ip": OWN}]}}
    assert isinstance(said, Say) and said.reason == "Programmed"


def test_addresses_of_other_nodes_stay_while_they_are_ready():
    [patch] = plan(with_addresses(OWN, "10.0.0.2", "10.0.0.3"), OWN, {"10.0.0.2"})
    assert patch.patch["status"]["loadBalancer"]["ingress"] == [{"ip": OWN}, {"ip": "10.0.0.2"}]


def test_a_node_that_cannot_serve_takes_its_address_back():
    [patch] = plan(with_addresses(OWN), "", set())
    assert patch.patch["status"] == {"loadBalancer": {"ingress": None}}


def test_settled_means_no_commands():
    assert plan(with_addresses(OWN), OWN, set()) == []


def test_only_ready_nodes_count():
    ready, not_ready = node("a"), node("b")
    for one, status, address in ((ready, "True", "10.0.0.2"), (not_ready, "False", "10.0.0.3")):
        one["status"]["conditions"] = [{"type": "Ready", "status": status}]
        one["status"]["addresses"] = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": "n"}]
    assert others([ready, not_ready], OWN) == {"10.0.0.2"}
