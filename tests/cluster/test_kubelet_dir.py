"""The name that drivers know: a symlink to the node's directory, or nothing."""

from tiphys.cluster import kubelet_dir
from tiphys.cluster.settings import Settings
from tiphys.node.settings import NodeSettings


def test_the_symlink_is_made_once_and_taken_away(tmp_path):
    settings = Settings(data_dir=tmp_path / "data", kubelet_dir=tmp_path / "lib" / "kubelet")
    assert kubelet_dir.link(settings) == kubelet_dir.link(settings) == tmp_path / "lib" / "kubelet"
    assert (tmp_path / "lib" / "kubelet").readlink() == tmp_path / "data" / "node"
    kubelet_dir.unlink(settings)
    assert not (tmp_path / "lib" / "kubelet").is_symlink()


def test_the_directory_of_another_kubelet_is_left_alone(tmp_path):
    (tmp_path / "kubelet").mkdir()
    settings = Settings(data_dir=tmp_path / "data", kubelet_dir=tmp_path / "kubelet")
    assert kubelet_dir.link(settings) is None
    kubelet_dir.unlink(settings)
    assert (tmp_path / "kubelet").is_dir()


def test_only_the_cluster_with_the_usual_data_directory_takes_the_usual_name(tmp_path):
    assert str(Settings().kubelet_link) == "/var/lib/kubelet"
    assert Settings(data_dir=tmp_path).kubelet_link is None


def test_drivers_are_told_the_name_that_they_know(tmp_path):
    link = tmp_path / "kubelet"
    node = NodeSettings("n1", "192.0.2.1", tmp_path / "data", tmp_path / "run", kubelet_link=link)
    assert node.shown(node.pods_dir / "u") == str(link / "pods" / "u")
    assert node.real(str(link / "pods" / "u")) == node.pods_dir / "u"
    assert node.real("/elsewhere") == tmp_path.__class__("/elsewhere")
