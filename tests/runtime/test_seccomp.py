"""What crun compiled once is given to every other container of the same profile."""

import base64

from tiphys.runtime.seccomp import COMPILED, Filters


def config(rules=None):
    return {"annotations": {}, "linux": {} if rules is None else {"seccomp": rules}}


def test_the_first_container_compiles_and_the_next_gets_its_filter(tmp_path):
    filters = Filters()
    (tmp_path / "seccomp.bpf").write_bytes(b"bpf")
    filters.learn(filters.give(config({"syscalls": []})), tmp_path)
    second = config({"syscalls": []})
    assert filters.give(second) == "" and base64.b64decode(second["annotations"][COMPILED]) == b"bpf"


def test_another_profile_has_another_filter(tmp_path):
    filters = Filters()
    (tmp_path / "seccomp.bpf").write_bytes(b"bpf")
    filters.learn(filters.give(config({"syscalls": []})), tmp_path)
    other = config({"syscalls": ["more"]})
    assert filters.give(other) and other["annotations"] == {}


def test_nothing_is_learnt_where_crun_keeps_no_file(tmp_path):
    filters = Filters()
    filters.learn(filters.give(config({"syscalls": []})), tmp_path)
    assert filters.give(config({"syscalls": []}))


def test_an_unconfined_container_has_no_filter():
    assert Filters().give(config()) == ""
