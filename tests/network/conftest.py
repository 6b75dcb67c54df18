"""A network of its own names in a namespace of its own."""

import pytest

from tiphys.network.kernel import KernelNetwork
from tiphys.network.settings import NetworkSettings


@pytest.fixture
def settings(tmp_path) -> NetworkSettings:
    return NetworkSettings(
        run_dir=tmp_path / "run", bridge="tipt0", pod_cidr="10.91.0.0/28", service_cidr="10.92.0.0/24",
        table="tiphystest", ready=2,
    )  # fmt: skip


@pytest.fixture
async def network(own_network, settings):
    network = KernelNetwork(settings)
    await network.open()
    yield network
    await network.purge()
