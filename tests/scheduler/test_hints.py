"""Which waiting pods an event wakes, and which it leaves asleep."""

from builders import node, pod
from scheduler_builders import Cluster
from tiphys.scheduler import affinity, filters, hints, spread, volume_needs
from tiphys.scheduler.queue import Waiting

HOST = "kubernetes.io/hostname"
NO_CPU, NEAR = frozenset(("Insufficient cpu",)), frozenset((affinity.NOT_NEAR,))


def asking(name="web", cpu="2", **fields):
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return pod(name, node="", containers=[container], **fields)


def refused(cluster, obj, reasons=None):
    """The pod as it waits after no node took it."""
    refusal = cluster.choice(obj) if reasons is None else None
    found = reasons if refusal is None else refusal.kinds
    return Waiting(obj, 1, reasons=frozenset(found), asks=cluster.state.asks(obj))


def node_event(cluster, old, new):
    if new is not None:
        cluster.state.table.put(new)
    return hints.after_node(cluster.state, old, new)


def test_a_node_wakes_only_pods_that_it_could_hold():
    cluster = Cluster(node("a", cpu="1"))
    small, large = refused(cluster, asking(cpu="2")), refused(cluster, asking(cpu="8"))
    helps = node_event(cluster, None, node("b"))
    assert helps(small) and not helps(large)


def test_a_pod_that_found_no_nodes_at_all_waits_for_the_first():
    cluster = Cluster()
    waiting = refused(cluster, asking())
    assert waiting.reasons == frozenset() and node_event(cluster, None, node("a"))(waiting)


def test_an_uncordoned_node_wakes_who_was_refused_for_that():
    before = node("a", unschedulable=True)
    cluster = Cluster(before, node("full", cpu="1"))
    waiting = refused(cluster, asking())
    assert filters.UNSCHEDULABLE in waiting.reasons
    assert node_event(cluster, before, node("a"))(waiting)


def test_a_label_that_nobody_asks_for_wakes_nobody():
    cluster = Cluster(node("a", cpu="1"))
    waiting = refused(cluster, asking())
    assert not node_event(cluster, node("a", cpu="1"), node("a", cpu="1", labels={"new": "label"}))(waiting)


def test_more_to_offer_wakes_and_less_does_not():
    cluster = Cluster(node("a"))
    cluster.put(asking("held", cpu="3"), "a")
    waiting = refused(cluster, asking())
    assert node_event(cluster, node("a"), node("a", cpu="8"))(waiting)
    assert not node_event(cluster, node("a", cpu="8"), node("a", cpu="4"))(waiting)


def test_a_pod_that_leaves_wakes_who_fits_now():
    cluster = Cluster(node("a"), node("b", cpu="1"))
    held = asking("held", cpu="3")
    cluster.put(held, "a")
    small, large = refused(cluster, asking(cpu="2")), refused(cluster, asking(cpu="5"))
    cluster.state.ledger.remove("uid-held")
    helps = hints.after_pod_left(cluster.state, held, "a")
    assert helps(small) and not helps(large)
    assert not hints.after_pod_left(cluster.state, held, "b")(small)


def test_a_pod_of_a_daemonset_waits_for_its_own_node():
    cluster = Cluster(node("a"), node("b"))
    named = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [named]}}
    for name in ("a", "b"):
        cluster.put(asking(f"held-{name}", cpu="3"), name)
    waiting = refused(cluster, asking(affinity={"nodeAffinity": required}))
    assert waiting.reasons == {"Insufficient cpu", filters.NOT_PINNED}
    cluster.state.ledger.remove("uid-held-b")
    assert not hints.after_pod_left(cluster.state, asking("held-b"), "b")(waiting)
    cluster.state.ledger.remove("uid-held-a")
    assert hints.after_pod_left(cluster.state, asking("held-a"), "a")(waiting)


def near(**labels):
    term = {"topologyKey": HOST, "labelSelector": {"matchLabels": labels}}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def test_a_pod_that_comes_wakes_those_who_want_it_near():
    cluster = Cluster(node("a"))
    waiting = refused(cluster, asking(affinity={"podAffinity": near(app="db")}))
    assert waiting.reasons == NEAR
    assert hints.after_pod_came(cluster.state, pod("db", labels={"app": "db"}))(waiting)
    assert not hints.after_pod_came(cluster.state, pod("other", labels={"app": "other"}))(waiting)


def test_a_pod_that_leaves_wakes_those_who_avoid_it_and_those_whom_it_avoids():
    cluster = Cluster(node("a"))
    avoiding = refused(cluster, asking(affinity={"podAntiAffinity": near(app="db")}), {affinity.TOO_NEAR})
    avoided = refused(cluster, asking(), {affinity.KEPT_AWAY})
    db, lonely = pod("db", labels={"app": "db"}), pod("lonely", affinity={"podAntiAffinity": near(app="web")})
    assert hints.after_pod_left(cluster.state, db, "a")(avoiding)
    assert not hints.after_pod_left(cluster.state, lonely, "a")(avoiding)
    assert hints.after_pod_left(cluster.state, lonely, "a")(avoided)
    assert not hints.after_pod_left(cluster.state, db, "a")(avoided)


def test_siblings_that_come_or_go_wake_who_was_too_skewed():
    said = {"topologyKey": HOST, "maxSkew": 1, "labelSelector": {"matchLabels": {"app": "web"}}}
    waiting = refused(Cluster(), asking(topologySpreadConstraints=[said]), {spread.TOO_SKEWED})
    state = Cluster(node("a")).state
    assert hints.after_pod_came(state, pod("web-b"))(waiting)
    assert hints.after_pod_left(state, pod("web-b"), "a")(waiting)
    assert not hints.after_pod_left(state, pod("db", labels={"app": "db"}), "a")(waiting)
    assert hints.after_node(state, node("a"), None)(waiting)


def test_storage_wakes_those_who_use_it():
    claimed = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    waiting = refused(Cluster(), asking(volumes=claimed), {volume_needs.NOTHING_TO_BIND})
    assert hints.after_claim(("shop", "data"))(waiting) and not hints.after_claim(("bank", "data"))(waiting)
    assert hints.after_volume(waiting) and hints.after_class(waiting) and not hints.after_csi_node(waiting)
    assert not hints.after_volume(refused(Cluster(), asking(), NO_CPU))


def test_a_pod_that_could_make_the_rest_of_the_room_is_tried_again():
    cluster = Cluster(node("a"))
    for name, priority in (("low", 0), ("high", 9)):
        cluster.put(asking(name, cpu="2", priority=priority), "a")
    vip, plain = (refused(cluster, asking("p", cpu="4", priority=number), NO_CPU) for number in (9, 0))
    cluster.state.ledger.remove("uid-high")
    helps = hints.after_pod_left(cluster.state, asking("high"), "a")
    assert helps(vip) and not helps(plain)
    assert not hints.after_pod_left(cluster.state, asking("high"), "a", freed=False)(vip)


def test_a_taint_may_help_who_was_too_skewed_and_nobody_else():
    tainted = node("a", taints=[{"key": "k", "effect": "NoSchedule"}])
    waiting = [refused(Cluster(), asking(), {reason}) for reason in (spread.TOO_SKEWED, affinity.TOO_NEAR)]
    helps = hints.after_node(Cluster(node("a")).state, node("a"), tainted)
    assert [helps(each) for each in waiting] == [True, False]
