"""A cluster that a whole file of tests shares."""

import pytest

from cluster_builders import KUBECTL, LiveCluster, machine


@pytest.fixture(scope="module")
def cluster(host_lock, tmp_path_factory):
    """Up, with the example's images; `before` is what was on the machine. Purged at the end, whatever happened."""
    if KUBECTL is None:
        pytest.skip("no kubectl on this machine")
    root = tmp_path_factory.mktemp("c")
    live = LiveCluster(root, number=7)
    live.before = machine(live)
    try:
        live.said = live.up()
        live.build_example()
        yield live
    finally:
        live.close()
