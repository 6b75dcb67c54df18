"""Volumes on this machine's disk: limits that the kernel keeps, data that outlive their pods, nothing left behind."""

import errno
import os

import pytest

from tiphys.node.volumes import loops, mounts
from tiphys.node.volumes.local_disks import Disk, InUse, LocalDisks

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("host_lock")]
MIB = 1 << 20


@pytest.fixture
def disks(tmp_path):
    made = LocalDisks(tmp_path / "volumes", tmp_path / "pods")
    made.open()
    yield made
    mounts.unmount_below(tmp_path)
    made.close_all()
    loops.detach_below(tmp_path)


@pytest.fixture
def pods(tmp_path):
    return tmp_path / "pods"


def fill(path, size):
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(b"x" * MIB)
        file.flush()
        os.fsync(file.fileno())


def test_a_volume_holds_as_much_as_was_asked_for_and_no_more(disks, pods):
    disks.bind(Disk("v", 16 * MIB), pods / "a" / "v")
    fill(pods / "a" / "v" / "most", 8 * MIB)
    with pytest.raises(OSError) as refused:
        fill(pods / "a" / "v" / "more", 16 * MIB)
    assert refused.value.errno == errno.ENOSPC


def test_data_stay_while_pods_come_and_go(disks, pods, tmp_path):
    for name in ("a", "b"):
        disks.bind(Disk("v", 8 * MIB), pods / name / "v")
        (pods / name / "v" / name).touch()
        mounts.unmount_below(pods / name)
        disks.close_unused()
        assert mounts.below(tmp_path) == [] and loops.find(tmp_path / "volumes" / "v" / "image") is None
    disks.bind(Disk("v", 8 * MIB), pods / "c" / "v")
    assert sorted(os.listdir(pods / "c" / "v")) == ["a", "b"]


def test_a_volume_is_closed_after_its_last_pod_and_shared_until_then(disks, pods, tmp_path):
    for name in ("a", "b", "b"):
        disks.bind(Disk("v", 8 * MIB), pods / name / "v")
    (pods / "a" / "v" / "told").touch()
    mounts.unmount_below(pods / "a")
    disks.close_unused()
    assert os.listdir(pods / "b" / "v") == ["told"] and len(loops.devices()) >= 1
    assert disks.shown_at(pods / "b" / "v") == "v"


def test_a_volume_grows_when_it_is_next_mounted_and_its_file_at_once(disks, pods, tmp_path):
    disks.bind(Disk("v", 8 * MIB), pods / "a" / "v")
    grown = disks.grow(Disk("v", 64 * MIB))
    assert (tmp_path / "volumes" / "v" / "image").stat().st_size == 64 * MIB
    if not grown:  # the host withholds CAP_SYS_RESOURCE
        mounts.unmount_below(pods / "a")
        disks.close_unused()
        disks.bind(Disk("v", 64 * MIB), pods / "a" / "v")
    fill(pods / "a" / "v" / "much", 40 * MIB)


def test_a_block_volume_is_a_device_that_grows(disks, pods, tmp_path):
    target = pods / "a" / "dev"
    disks.bind(Disk("b", MIB, is_block=True), target)
    assert disks.grow(Disk("b", 2 * MIB, is_block=True)) and target.is_block_device()
    with target.open("r+b") as device:
        assert device.seek(0, os.SEEK_END) == 2 * MIB
    mounts.unmount_below(pods)
    disks.close_unused()
    assert loops.find(tmp_path / "volumes" / "b" / "image") is None


def test_what_a_pod_uses_is_not_removed_and_afterwards_nothing_is_left(disks, pods, tmp_path):
    disks.bind(Disk("v", 8 * MIB), pods / "a" / "v")
    with pytest.raises(InUse, match="still mounted"):
        disks.remove("v")
    mounts.unmount_below(pods)
    for _ in range(2):
        disks.remove("v")
    assert os.listdir(tmp_path / "volumes") == [] and mounts.below(tmp_path) == []


def test_a_file_that_was_not_finished_is_made_anew_and_a_removal_is_ended(disks, pods, tmp_path):
    (tmp_path / "volumes" / "v").mkdir()
    (tmp_path / "volumes" / "v" / "image.unfinished").write_text("half")
    (tmp_path / "volumes" / "w.removed").mkdir()
    disks.open()
    disks.bind(Disk("v", 8 * MIB), pods / "a" / "v")
    assert os.listdir(tmp_path / "volumes") == ["v"] and os.stat(pods / "a" / "v").st_mode & 0o777 == 0o777
