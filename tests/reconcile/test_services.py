"""A pod's change concerns the Services that select it, and only if an endpoint would show it."""

import pytest

from builders import changed, pod
from service_builders import service
from tiphys.reconcile.services import services_of_pod

WEB = pod("web-a")


class Services:
    """As an informer lists them."""

    def list(self, namespace):
        assert namespace == "shop"
        return [service("web", selector={"app": "web"}), service("all"), service("db", selector={"app": "db"})]


def due(old, new):
    return [name for _, name in services_of_pod(Services())(old, new)]


def test_a_pod_that_comes_or_goes_concerns_those_that_select_it():
    assert due(None, WEB) == due(WEB, None) == ["web"]


def test_a_pod_that_changes_sides_concerns_both():
    assert due(WEB, pod("web-a", labels={"app": "db"})) == ["web", "db"]


@pytest.mark.parametrize(
    "after",
    [pod("web-a", ready=False), pod("web-a", deleting=True), pod("web-a", phase="Failed"), changed(WEB, nodeName="n2")],
)
def test_what_an_endpoint_shows_concerns_them(after):
    assert due(WEB, after) == ["web"]


def test_what_no_endpoint_shows_concerns_nobody():
    assert due(WEB, {**WEB, "metadata": {**WEB["metadata"], "annotations": {"k": "v"}}}) == []
