"""How the API server finds a machine: one pool for each, and an error that says why there is none."""

import pytest

from tiphys.api.errors import StatusError
from tiphys.cluster import identities, reach
from tiphys.cluster.settings import Settings


@pytest.fixture
async def nodes(tmp_path):
    made = reach.Nodes(identities.load_or_create(Settings(data_dir=tmp_path, node_name="n1"), ""))
    yield made
    await made.close()


def node(name="n1", address="192.0.2.1", port=10250):
    status = {
        "addresses": [{"type": "Hostname", "address": name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    status["addresses"] += [{"type": "InternalIP", "address": address}] if address else []
    return {"metadata": {"name": name}, "status": status}


def test_a_node_keeps_its_pool(nodes):
    assert nodes.node(node()) is nodes.node(node())
    assert nodes.node(node("n2")) is not nodes.node(node())


def test_a_node_that_moved_gets_another(nodes):
    assert nodes.node(node(address="192.0.2.9")) is not nodes.node(node())


@pytest.mark.parametrize("silent", [node(address=""), node(port=0), {"metadata": {"name": "n1"}}])
def test_a_node_that_has_not_said_where_it_answers_is_unavailable(nodes, silent):
    with pytest.raises(StatusError, match="node n1 has not said where its agent answers") as refused:
        nodes.node(silent)
    assert refused.value.code == 503


def test_other_addresses_have_pools_of_their_own(nodes):
    plain, secure = (nodes.address("10.0.0.1", 80, tls=tls) for tls in (False, True))
    assert plain is not secure and plain is nodes.address("10.0.0.1", 80, tls=False)


def test_only_so_many_pools_are_kept_and_the_least_used_goes(nodes, monkeypatch):
    monkeypatch.setattr(reach, "POOLS_MAX", 2)
    first, second = nodes.address("10.0.0.1", 80, tls=False), nodes.address("10.0.0.2", 80, tls=False)
    nodes.address("10.0.0.1", 80, tls=False)
    nodes.address("10.0.0.3", 80, tls=False)
    assert nodes.address("10.0.0.1", 80, tls=False) is first
    assert nodes.address("10.0.0.2", 80, tls=False) is not second
