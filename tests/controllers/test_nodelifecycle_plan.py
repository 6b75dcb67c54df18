"""A silent node is marked, its taints follow its conditions, and its pods stop being ready."""

from builders import node, pod
from tiphys.api.objects import parse_timestamp
from tiphys.controllers.nodelifecycle.plan import GRACE_SECONDS, NOT_READY, UNREACHABLE, plan, wanted_taints
from tiphys.reconcile.commands import Patch, Requeue

NOW = parse_timestamp("2027-01-15T08:10:00Z")


def reporting(name="n1", *, status="True", taints=(), **options):
    made = node(name, taints=taints, **options)
    made["status"]["conditions"] = [{"type": "Ready", "status": status, "lastTransitionTime": "2027-01-15T08:00:00Z"}]
    return made


def patches(commands, subresource):
    return [c.patch for c in commands if isinstance(c, Patch) and c.subresource == subresource]


def test_a_living_node_is_looked_at_when_its_grace_ends():
    assert plan(reporting(), [], NOW - 10, NOW) == [Requeue(GRACE_SECONDS - 10)]


def test_a_silent_node_becomes_unknown():
    (patch,) = patches(plan(reporting(), [], NOW - GRACE_SECONDS, NOW), "status")
    told = {c["type"]: (c["status"], c["reason"]) for c in patch["status"]["conditions"]}
    assert told["Ready"] == ("Unknown", "NodeStatusUnknown")
    assert told["MemoryPressure"] == ("Unknown", "NodeStatusNeverUpdated")


def test_a_silent_node_is_tainted_so_that_nothing_new_comes_and_pods_leave():
    patch = next(p for p in patches(plan(reporting(), [], NOW - 60, NOW), "") if "spec" in p)
    assert {(t["key"], t["effect"]) for t in patch["spec"]["taints"]} == {
        (UNREACHABLE, "NoSchedule"),
        (UNREACHABLE, "NoExecute"),
    }


def test_a_node_that_is_back_loses_our_taints_and_keeps_others():
    taints = [{"key": NOT_READY, "effect": "NoSchedule"}, {"key": "gpu", "effect": "NoSchedule"}]
    (patch,) = patches(plan(reporting(taints=taints), [], NOW, NOW), "")
    assert patch["spec"]["taints"] == [{"key": "gpu", "effect": "NoSchedule"}]


def test_a_cordoned_node_is_tainted():
    cordoned = reporting(unschedulable=True)
    assert ("node.kubernetes.io/unschedulable", "NoSchedule") in wanted_taints(
        cordoned, cordoned["status"]["conditions"]
    )


def test_pods_of_a_silent_node_are_not_ready():
    found = patches(
        plan(reporting(status="Unknown"), [pod("web-a"), pod("web-b", ready=False)], NOW - 60, NOW), "status"
    )
    unready = [p for p in found if p["metadata"]["uid"].startswith("uid-web")]
    assert [p["metadata"]["uid"] for p in unready] == ["uid-web-a"]


def test_a_node_that_never_reported_evicts_nobody():
    young = node("n1")
    assert {effect for _, effect in wanted_taints(young, [])} == {"NoSchedule"}
