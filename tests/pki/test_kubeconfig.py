"""Merging leaves other people's clusters alone."""

import pytest
import yaml

from tiphys.pki import kubeconfig
from tiphys.pki.authority import KeyPair
from tiphys.pki.kubeconfig import Access, KubeconfigDamaged

OURS = Access("tiphys", "https://10.0.0.1:6443", b"our authority", KeyPair(b"cert", b"key"))
THEIRS = """\
apiVersion: v1
kind: Config
clusters:
- name: tiphys
  cluster: {server: "https://elsewhere:6443", certificate-authority-data: eA==}
- name: work
  cluster: {server: "https://work"}
users:
- name: tiphys
  user: {token: theirs}
contexts:
- name: tiphys
  context: {cluster: tiphys, user: tiphys}
current-context: work
extra: kept
"""


def load(path) -> dict:
    return yaml.safe_load(path.read_text())


def test_a_new_file_has_our_context_as_the_current_one(tmp_path):
    path = tmp_path / "deep" / "config"
    assert kubeconfig.merge(path, OURS) == "tiphys"
    assert load(path)["current-context"] == "tiphys"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_name_that_another_cluster_has_is_left_to_it(tmp_path):
    path = tmp_path / "config"
    path.write_text(THEIRS)
    assert kubeconfig.merge(path, OURS) == "tiphys-2"
    before, after = yaml.safe_load(THEIRS), load(path)
    assert after["current-context"] == "work" and after["extra"] == "kept"
    for kind in ("clusters", "users", "contexts"):
        assert [entry for entry in after[kind] if entry["name"] != "tiphys-2"] == before[kind]


def test_merging_again_refreshes_our_own_entry(tmp_path):
    path = tmp_path / "config"
    path.write_text(THEIRS)
    kubeconfig.merge(path, OURS)
    renewed = Access("tiphys", OURS.server, b"our new authority", token="t")
    assert kubeconfig.merge(path, renewed) == "tiphys-2"
    assert [entry["name"] for entry in load(path)["users"]] == ["tiphys", "tiphys-2"]
    assert load(path)["users"][1]["user"] == {"token": "t"}


def test_removing_takes_only_what_is_ours(tmp_path):
    path = tmp_path / "config"
    path.write_text(THEIRS)
    kubeconfig.merge(path, OURS)
    assert kubeconfig.remove(path, OURS) is True
    assert load(path) == yaml.safe_load(THEIRS)
    assert kubeconfig.remove(path, OURS) is False


@pytest.mark.parametrize("text", ["- a", "clusters: {", "clusters: [1]", "'text'"])
def test_what_is_no_kubeconfig_is_not_touched(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(KubeconfigDamaged):
        kubeconfig.merge(path, OURS)
    assert path.read_text() == text


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    kubeconfig.merge(tmp_path / "link", OURS)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").exists()
