"""A cluster with everything that a test file declares in `MANIFESTS`, and in `OPTIONS` of `tiphys up`."""

import pytest

import pod_image
from cluster_builders import KUBECTL
from pod_cluster import PodsCluster
from tiphys.node.volumes import mounts


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A store with the image that the pods run, made once."""
    root = tmp_path_factory.mktemp("i") / "images"
    pod_image.build(root)
    yield root
    mounts.unmount_below(root)


@pytest.fixture(scope="module")
def live(host_lock, images, request, tmp_path_factory):
    """All manifests are applied at once and run side by side: a test only waits for its own. Purged at the end."""
    if KUBECTL is None:
        pytest.skip("no kubectl on this machine")
    cluster = PodsCluster(tmp_path_factory.mktemp("f"), number=11)
    cluster.options += ["--storage-root", images, *getattr(request.module, "OPTIONS", [])]
    try:
        cluster.start(request.module.MANIFESTS)
        yield cluster
    finally:
        cluster.close()
