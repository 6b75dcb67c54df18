"""Settings whose names and ranges collide with nobody's."""

import pytest

from tiphys.proxy.settings import ProxySettings


@pytest.fixture
def proxy_settings():
    return ProxySettings("n1", cluster_cidr="10.91.0.0/16", service_cidr="10.92.0.0/24", table="tiphystest-services")
