"""Which node a pod gets, and what is said if it gets none."""

from builders import node, pod, replicaset
from scheduler_builders import Cluster
from tiphys.scheduler.decide import Refusal


def asking(name, **requests):
    container = {"name": "c", "image": "i", "resources": {"requests": requests}}
    return pod(name, node="", containers=[container])


def test_pods_go_where_there_is_room():
    cluster = Cluster(node("small", cpu="1"), node("big", cpu="8"))
    assert cluster.place(asking("a", cpu="2")) == "big"


def test_pods_of_one_shape_fill_equal_nodes_evenly():
    cluster = Cluster(node("a"), node("b"))
    assert sorted(cluster.place(asking(f"p{n}", cpu="1")) for n in range(4)) == ["a", "a", "b", "b"]


def test_a_full_cluster_says_why_node_by_node():
    cluster = Cluster(node("a", cpu="1"), node("b", cpu="1"), node("c", unschedulable=True))
    refusal = cluster.place(asking("p", cpu="2"))
    assert refusal.message == "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."


def test_no_nodes_are_said_to_be_none():
    assert Cluster().place(asking("p")).message == "no nodes available to schedule pods"


def test_every_placed_pod_takes_room_from_the_next():
    cluster = Cluster(node("a", pods="2"))
    told = [cluster.place(asking(f"p{n}")) for n in range(3)]
    assert told[:2] == ["a", "a"] and told[2].kinds == {"Too many pods"}


def test_a_pod_that_goes_makes_room():
    cluster = Cluster(node("a", pods="1"))
    first = asking("p0")
    cluster.place(first)
    cluster.state.ledger.remove(first["metadata"]["uid"])
    assert cluster.place(asking("p1")) == "a"


def test_siblings_are_spread():
    owner = replicaset(3)
    cluster = Cluster(node("a", cpu="64"), node("b", cpu="4"))
    cluster.world.siblings.put(owner)
    placed = {cluster.place(pod(f"p{n}", node="", owner=owner)) for n in range(2)}
    assert placed == {"a", "b"}


def test_a_host_port_is_given_once():
    cluster = Cluster(node("a"))
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80}]}
    told = [cluster.place(pod(f"p{n}", node="", containers=[container])) for n in range(2)]
    assert told[0] == "a" and "free ports" in told[1].message


def test_a_shape_learns_that_a_node_was_untainted():
    taint = {"key": "k", "effect": "NoSchedule"}
    cluster = Cluster(node("a", taints=[taint]))
    assert isinstance(cluster.place(asking("p0")), Refusal)
    cluster.state.table.put(node("a"))
    assert cluster.place(asking("p0")) == "a"


def test_the_tie_break_chooses_among_equals():
    names = {Cluster(node("a"), node("b")).place(asking("p"), tie) for tie in (0.0, 0.99)}
    assert names == {"a", "b"}
