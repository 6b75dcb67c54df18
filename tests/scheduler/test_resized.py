"""What a pod takes while it is being resized."""

import pytest

from builders import node, pod
from scheduler_builders import Cluster
from tiphys.scheduler.nodes import CPU
from tiphys.scheduler.resized import as_resized, told_otherwise


def resizing(wished, aside, used, pending=None):
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": wished}}}
    found = pod("web", containers=[container])
    told = {"name": "c", "allocatedResources": {"cpu": aside}, "resources": {"requests": {"cpu": used}}}
    found["status"]["containerStatuses"] = [told]
    if pending:
        found["status"]["conditions"].append({"type": "PodResizePending", "status": "True", "reason": pending})
    return found


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (("2", "1", "1"), "2"),
        (("1", "2", "3"), "3"),
        (("2", "1", "1", "Deferred"), "2"),
        (("9", "1", "2", "Infeasible"), "2"),
    ],
)
def test_the_largest_counts_unless_it_can_never_be(said, counted):
    assert as_resized(resizing(*said))["spec"]["containers"][0]["resources"]["requests"] == {"cpu": counted}


def test_a_pod_at_rest_is_left_as_it_is():
    settled = resizing("1", "1", "1")
    assert as_resized(settled) is settled and told_otherwise(settled) == ()


def test_a_node_is_freed_when_the_pod_has_shrunk():
    cluster = Cluster(node("a"))
    used = cluster.state.table.used
    cluster.put(resizing("1", "3", "3"), "a")
    assert used[CPU, cluster.state.table.row_of["a"]] == 3000
    assert cluster.state.ledger.place(resizing("1", "1", "1"), "a")
    assert cluster.state.table.used[CPU, cluster.state.table.row_of["a"]] == 1000
