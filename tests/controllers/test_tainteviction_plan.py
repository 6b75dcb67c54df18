"""NoExecute taints drive pods away, at once or when their toleration ends."""

from builders import pod
from tiphys.api.objects import parse_timestamp
from tiphys.controllers.tainteviction.plan import plan
from tiphys.reconcile.commands import Delete, Requeue

NOW = parse_timestamp("2027-01-15T08:10:00Z")
TAINT = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2027-01-15T08:09:00Z"}


def tolerating(seconds=None):
    limit = {} if seconds is None else {"tolerationSeconds": seconds}
    return pod("web-a", tolerations=[{"key": TAINT["key"], "operator": "Exists", "effect": "NoExecute", **limit}])


def deletes(commands):
    return [c for c in commands if isinstance(c, Delete)]


def test_a_pod_that_tolerates_nothing_leaves_at_once():
    assert len(deletes(plan(pod("web-a"), [TAINT], NOW))) == 1


def test_a_pod_that_tolerates_forever_stays():
    assert plan(tolerating(), [TAINT], NOW) == []


def test_a_pod_stays_as_long_as_it_tolerates():
    assert plan(tolerating(300), [TAINT], NOW) == [Requeue(240.0)]
    assert len(deletes(plan(tolerating(30), [TAINT], NOW))) == 1


def test_a_node_without_such_taints_means_no_commands():
    assert plan(pod("web-a"), [], NOW) == []


def test_a_pod_that_goes_already_is_left_alone():
    assert plan(pod("web-a", deleting=True), [TAINT], NOW) == []
