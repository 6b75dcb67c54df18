"""Trees of bare mount points, on a plain directory."""

import pytest

from tiphys.runtime import mount_points
from tiphys.runtime.door import Mount
from tiphys.runtime.mount_points import MountPoints


def listed(tree):
    return {str(path.relative_to(tree)) for path in tree.rglob("*")}


@pytest.fixture
def trees(tmp_path):
    return MountPoints(tmp_path / "trees")


def test_every_container_has_the_usual_ones(trees):
    assert listed(trees.tree([])) == {"proc", "dev", "sys"}


def test_a_file_is_mounted_on_a_file_and_a_directory_on_a_directory(trees, tmp_path):
    (tmp_path / "hosts").touch()
    tree = trees.tree([Mount(str(tmp_path / "hosts"), "/etc/hosts"), Mount(str(tmp_path), "/data/a"), Mount("", "/t")])
    assert (tree / "etc/hosts").is_file() and (tree / "data/a").is_dir()


def test_a_tmpfs_is_mounted_on_a_directory(trees):
    assert (trees.tree([Mount("", "/cache", type="tmpfs")]) / "cache").is_dir()


def test_one_set_is_made_once(trees, tmp_path):
    same = [Mount(str(tmp_path), "/data")]
    assert trees.tree(same) == trees.tree(list(same)) != trees.tree([])


def test_no_mount_point_leads_out_of_its_tree(trees, tmp_path):
    trees.tree([Mount(str(tmp_path), "/a/../../../outside"), Mount(str(tmp_path), "../outside"), Mount("", "/")])
    assert not (tmp_path / "outside").exists() and not (tmp_path.parent / "outside").exists()


def test_one_below_a_file_is_left_to_who_mounts(trees, tmp_path):
    (tmp_path / "file").touch()
    tree = trees.tree([Mount(str(tmp_path / "file"), "/f"), Mount(str(tmp_path), "/f/below")])
    assert (tree / "f").is_file()


def test_the_number_of_trees_has_a_limit(trees, tmp_path, monkeypatch):
    monkeypatch.setattr(mount_points, "SETS_MAX", 2)
    usual = trees.tree([])
    trees.tree([Mount(str(tmp_path), "/1")])
    assert trees.tree([Mount(str(tmp_path), "/2")]) == usual


def test_trees_below_no_mount_are_forgotten(trees, tmp_path):
    tree = trees.tree([Mount(str(tmp_path), str(tmp_path))])  # a set that nobody else on this machine mounts
    trees.forget_unused()
    assert not tree.exists()
