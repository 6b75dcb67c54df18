"""Each filter and its reason."""

import pytest

from builders import node, pod
from tiphys.scheduler import filters
from tiphys.scheduler.filters import clashes, first_reason, fits, free_ports, has_room, shortages
from tiphys.scheduler.nodes import CPU, MEMORY, PODS, Load, NodeTable

NO_SCHEDULE = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


def spec(**fields):
    return pod("web", node="", **fields)["spec"]


def test_a_plain_pod_suits_a_plain_node():
    assert first_reason(spec(), node("a")) is None


def test_a_cordoned_node_takes_only_who_tolerates_it():
    tolerant = spec(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}])
    assert first_reason(spec(), node("a", unschedulable=True)) == filters.UNSCHEDULABLE
    assert first_reason(tolerant, node("a", unschedulable=True)) is None


def test_a_taint_keeps_pods_away():
    told = first_reason(spec(), node("a", taints=[NO_SCHEDULE]))
    assert told == filters.TAINTS


def test_a_soft_taint_refuses_nobody():
    assert first_reason(spec(), node("a", taints=[NO_SCHEDULE | {"effect": "PreferNoSchedule"}])) is None


def test_a_selector_wants_its_labels():
    wanting = spec(nodeSelector={"disk": "ssd"})
    assert first_reason(wanting, node("a")) == filters.NODE_AFFINITY
    assert first_reason(wanting, node("a", labels={"disk": "ssd"})) is None


def test_one_term_of_an_affinity_is_enough():
    terms = [{"matchExpressions": [{"key": "disk", "operator": "In", "values": [kind]}]} for kind in ("ssd", "nvme")]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    wanting = spec(affinity={"nodeAffinity": required})
    assert first_reason(wanting, node("a", labels={"disk": "nvme"})) is None
    assert first_reason(wanting, node("a", labels={"disk": "hdd"})) == filters.NODE_AFFINITY


def test_room_is_told_for_all_rows_and_for_one():
    table = NodeTable()
    for name, cpu in (("small", "1"), ("big", "8")):
        table.put(node(name, cpu=cpu))
    request = {CPU: 2000, PODS: 1}
    rows = table.row_of["small"], table.row_of["big"]
    assert [bool(fits(table, request)[row]) for row in rows] == [False, True]
    assert [has_room(table, request, row) for row in rows] == [False, True]


def test_what_lacks_is_named():
    table = NodeTable()
    table.put(node("a", cpu="1", memory="1Gi", pods="1"))
    row = table.row_of["a"]
    table.use(row, Load({PODS: 1}), 1)
    told = [(reason, bool(never[row])) for reason, lacking, never in _shortages(table) if lacking[row]]
    assert told == [(filters.TOO_MANY_PODS, False), ("Insufficient cpu", True)]


def _shortages(table):
    return shortages(table, {CPU: 2000, MEMORY: 1, PODS: 1})


@pytest.mark.parametrize(
    ("held", "clash"),
    [(("", "TCP", 80), True), (("10.0.0.1", "TCP", 80), True), (("", "UDP", 80), False), (("", "TCP", 81), False)],
)
def test_host_ports_clash_by_number_protocol_and_address(held, clash):
    assert clashes(("0.0.0.0", "TCP", 80), [held]) is clash


def test_two_addresses_may_have_the_same_port():
    assert not clashes(("10.0.0.2", "TCP", 80), [("10.0.0.1", "TCP", 80)])


def test_nodes_with_the_port_taken_are_left_out():
    table = NodeTable()
    table.put(node("a"))
    table.use(table.row_of["a"], Load({}, ports=[("", "TCP", 80)]), 1)
    assert not free_ports(table, [("", "TCP", 80)])[table.row_of["a"]]
