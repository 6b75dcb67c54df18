"""Real containers keep the contract."""

import pytest

from runtime.suite import RuntimeContract


@pytest.fixture
def runtime(real):
    return real


@pytest.mark.host
class TestCrunRuntime(RuntimeContract):
    pass
