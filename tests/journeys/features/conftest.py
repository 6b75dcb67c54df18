"""A cluster with everything that a test file declares in `MANIFESTS`, and in `OPTIONS` of `tiphys up`."""

import pytest

from cluster_builders import KUBECTL
from pod_cluster import PodsCluster


@pytest.fixture(scope="module")
def live(host_lock, request, tmp_path_factory):
    """All manifests are applied at once and run side by side: a test only waits for its own. Purged at the end."""
    if KUBECTL is None:
        pytest.skip("no kubectl on this machine")
    cluster = PodsCluster(tmp_path_factory.mktemp("f"), number=11)
    cluster.options += getattr(request.module, "OPTIONS", [])
    try:
        cluster.start(request.module.MANIFESTS)
        yield cluster
    finally:
        cluster.close()
