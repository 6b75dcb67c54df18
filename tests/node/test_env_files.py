"""Variables out of files that a container of the pod has written."""

import pytest

from node_builders import container
from tiphys.node import env_files
from tiphys.node.environment import ConfigError, Sources, environment

FILE = """
# a comment
A='one'   # another
  B='it is
two lines'
EMPTY=
A='last'
"""


def test_names_have_the_last_value_that_the_file_gives_them():
    assert [env_files.value_of(FILE, name, "f") for name in ("A", "B", "EMPTY", "C")] == [
        "last",
        "it is\ntwo lines",
        "",
        None,
    ]


@pytest.mark.parametrize("bad", ["A=plain", 'A="double"', "A ='x'", "A='open", "A='x'y", "just words"])
def test_what_is_not_quoted_is_refused(bad):
    with pytest.raises(ConfigError, match="line 2: values must be enclosed in single quotes"):
        env_files.value_of(f"B='fine'\n{bad}\n", "B", "f")


def of_file(path, key="A", *, optional=False):
    ref = {"volumeName": "v", "path": path, "key": key, "optional": optional}
    return container(env=[{"name": "N", "valueFrom": {"fileKeyRef": ref}}])


def given(tmp_path, one):
    sources = Sources(from_file=env_files.lookup(one, {"v": str(tmp_path)}))
    return environment({"metadata": {"namespace": "x"}, "spec": {"containers": [one]}}, one, sources)


def test_a_variable_comes_out_of_a_file_of_a_volume(tmp_path):
    (tmp_path / "f").write_text(FILE)
    assert given(tmp_path, of_file("f")) == {"N": "last"}
    assert given(tmp_path, of_file("none", optional=True)) == {}
    with pytest.raises(ConfigError, match='key "C" not found in file "f"'):
        given(tmp_path, of_file("f", "C"))


def test_no_link_leads_out_of_the_volume(tmp_path):
    (tmp_path / "f").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match='failed to open the environment file "f"'):
        given(tmp_path, of_file("f"))
