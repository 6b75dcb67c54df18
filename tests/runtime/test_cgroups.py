"""Limits of a real control group, whichever kind the machine has."""

import pytest

from tiphys.runtime import cgroups
from tiphys.runtime.door import Resources

GROUP = "tiphys-test-limits"


@pytest.fixture
def kind(host_lock):
    found = cgroups.detect()
    found.create(GROUP, Resources(memory_limit_bytes=32 << 20))
    yield found
    cgroups.remove(found, GROUP)


@pytest.mark.host
def test_memory_can_be_raised_lowered_and_freed(kind):
    files = [
        directory / name for directory in kind.directories(GROUP) for name in ("memory.limit_in_bytes", "memory.max")
    ]
    (limit,) = [path for path in files if path.exists()]
    for megabytes in (64, 128, 96):
        kind.apply(GROUP, Resources(memory_limit_bytes=megabytes << 20))
        assert int(limit.read_text()) == megabytes << 20
    kind.apply(GROUP, Resources())
    assert limit.read_text().strip() in ("max", "9223372036854771712")
