"""`tiphys up`: few lines, the same twice, and the reason when it does not come up."""

import pytest
import yaml

from tiphys.cluster import doctor, saved
from tiphys.cluster.process import Step


@pytest.fixture
def up(tiphys, tmp_path):
    return lambda *options: tiphys("up", "--kubeconfig", tmp_path / "config", *options)


def test_without_root_it_says_what_works_without(tiphys, user):
    code, _, errors = tiphys("up")
    assert code == 1
    assert "needs root: run it with sudo (without root, `tiphys serve --no-node` gives the API)" in errors


def test_it_tells_its_steps_and_ends_with_what_to_type(up, server, tmp_path):
    code, told, _ = up()
    lines = told.splitlines()
    assert code == 0 and len(lines) <= 10
    assert lines[0].endswith("s  keys and certificates") and lines[-1] == "Ready: kubectl get nodes"
    assert f"context 'tiphys' is in {tmp_path / 'config'}" in told


def test_a_second_time_it_runs_already(up, server):
    up()
    code, told, _ = up()
    assert (code, len(server.started)) == (0, 1) and told.startswith("the cluster runs already (pid 4711)")
    assert told.splitlines()[-1] == "Ready: kubectl get nodes"


def test_a_context_of_somebody_else_stays_the_current_one(up, server, tmp_path):
    theirs = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "contexts": [{"name": "prod", "context": {}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(theirs))
    _, told, _ = up()
    assert told.splitlines()[-1] == "Ready: kubectl --context tiphys get nodes"
    kept = yaml.safe_load((tmp_path / "config").read_text())
    assert kept["current-context"] == "prod" and [c["name"] for c in kept["contexts"]] == ["prod", "tiphys"]


def test_a_kubeconfig_that_cannot_be_read_is_left_as_it_is(up, server, tmp_path):
    (tmp_path / "config").write_text("- nonsense")
    code, _, errors = up()
    assert code == 1 and "the cluster runs, but" in errors and "see `tiphys kubeconfig`" in errors
    assert (tmp_path / "config").read_text() == "- nonsense"


def test_choices_are_handed_to_the_server_and_kept_for_later_commands(up, server, place):
    up("--port", 7443, "--node-name", "here", "--insecure-registry", "a:5000", "--registry-mirror", "b=c:5000")
    (arguments,) = server.started
    pairs = list(zip(arguments[::2], arguments[1::2], strict=True))
    assert {("--data-dir", str(place)), ("--port", "7443"), ("--node-name", "here")} <= set(pairs)
    assert {("--insecure-registry", "a:5000"), ("--registry-mirror", "b=c:5000")} <= set(pairs)
    kept = saved.load(place)
    assert (kept.port, kept.node_name, kept.registry_mirrors) == (7443, "here", (("b", "c:5000"),))


def test_missing_packages_are_named_before_anything_is_done(up, server, place, monkeypatch):
    monkeypatch.setattr(doctor, "missing_packages", lambda: ["conmon", "crun"])
    code, _, errors = up()
    assert (code, server.started, place.exists()) == (1, [], False)
    assert "system packages are missing: conmon crun — install them with `tiphys doctor --fix`" in errors


def test_a_server_that_gave_up_says_why_in_its_own_words(up, server, place):
    server.steps = [Step("keys", 0.1)]
    place.mkdir()
    (place / "tiphys.log").write_text("older\ntiphys serve: port 6443 is taken by another process\n")
    code, _, errors = up()
    assert (code, errors) == (1, "tiphys up: port 6443 is taken by another process\n")


def test_a_server_that_broke_shows_the_end_of_its_log(up, server, place):
    server.steps = []
    place.mkdir()
    (place / "tiphys.log").write_text("".join(f"line {number}\n" for number in range(20)))
    code, _, errors = up()
    assert code == 1 and f"the server ended; the end of {place / 'tiphys.log'}:" in errors
    assert "line 19" in errors and "line 12" in errors and "line 11" not in errors


def test_a_server_that_left_no_log_is_told_too(up, server):
    server.steps = []
    assert "the server ended" in up()[2]
