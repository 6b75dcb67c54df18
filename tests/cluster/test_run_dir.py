"""The directory of what ends with a reboot, on real mounts below a directory of the test."""

import pytest

from tiphys.cluster import run_dir
from tiphys.node.volumes import mounts

pytestmark = pytest.mark.host


@pytest.fixture
def directory(tmp_path, host_lock):
    yield tmp_path / "run"
    mounts.unmount_below(tmp_path)


def test_it_is_in_memory_once_however_often_it_is_prepared(directory, tmp_path):
    there_before = mounts.is_in_memory(tmp_path)
    for _ in range(2):
        run_dir.prepare(directory)
    assert mounts.is_in_memory(directory) and mounts.below(directory) == [directory] * (not there_before)


def test_what_is_in_memory_already_gets_no_mount_of_its_own(directory):
    directory.mkdir()
    mounts.mount_tmpfs(directory)
    run_dir.prepare(directory / "inner")
    assert mounts.below(directory) == [directory]


def test_things_in_use_are_not_covered(directory):
    (directory / "pin").mkdir(parents=True)
    mounts.bind(str(directory / "pin"), directory / "pin")
    run_dir.prepare(directory)
    assert mounts.below(directory) == [directory / "pin"]
