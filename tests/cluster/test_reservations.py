"""What a node keeps from pods, as users write it."""

import pytest

from tiphys.cluster.reservations import check, system_reserved
from tiphys.cluster.settings import Settings


def test_amounts_are_milli_cpu_and_bytes():
    assert system_reserved("cpu=200m,memory=512Mi") == {"cpu": 200, "memory": 512 << 20} and system_reserved("") == {}


@pytest.mark.parametrize("text", ["cpu", "pods=1", "memory=lots", "cpu=-1"])
def test_what_reserves_nothing_is_refused_with_the_cure(text):
    with pytest.raises(ValueError, match="write it like memory=512Mi"):
        system_reserved(text)


def test_settings_are_checked_before_anything_starts():
    check(Settings())
    with pytest.raises(ValueError, match="needs a grace period"):
        check(Settings(eviction_soft="memory.available<1Gi"))
