"""Pods are filed under the node that they are bound to."""

from builders import pod
from tiphys.reconcile.nodes import node_index


def test_a_bound_pod_is_filed_and_a_waiting_one_is_not():
    assert list(node_index(pod("a", node="n1"))) == ["n1"]
    assert list(node_index(pod("a", node=""))) == []
