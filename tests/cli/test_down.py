"""`tiphys down`: what ran is stopped and counted; nothing is removed that nobody asked to remove."""

import pytest

from tiphys.cluster import process, teardown


@pytest.fixture
def torn(monkeypatch):
    """What teardown was asked for."""
    asked = []

    async def stop(settings):
        asked.append(("stop", settings.data_dir))
        return 3

    async def purge(settings, kubeconfig):
        asked.append(("purge", kubeconfig))
        return 3

    monkeypatch.setattr(teardown, "stop", stop)
    monkeypatch.setattr(teardown, "purge", purge)
    return asked


def test_without_root_it_says_so(tiphys, user):
    code, _, errors = tiphys("down")
    assert code == 1 and "stopping containers needs root" in errors


def test_where_there_is_no_cluster_there_is_nothing_to_do(tiphys, server, torn, place):
    assert tiphys("down") == (0, f"there is no cluster in {place}\n", "")
    assert (torn, server.stops) == ([], 0)


def test_the_server_stops_and_containers_are_counted(tiphys, server, torn, settings):
    server.pid = 4711
    assert tiphys("down") == (0, "server stopped; 3 containers ended\n", "")
    assert torn == [("stop", settings.data_dir)]


def test_containers_are_ended_also_where_no_server_runs(tiphys, server, torn, settings):
    assert tiphys("down")[1] == "no server ran; 3 containers ended\n"


def test_purging_removes_every_trace_and_says_so(tiphys, server, torn, settings, tmp_path):
    code, told, _ = tiphys("down", "--purge", "--kubeconfig", tmp_path / "config")
    assert (code, told.splitlines()[-1]) == (0, f"everything of {settings.data_dir} is removed")
    assert torn == [("purge", tmp_path / "config")]


def test_a_server_that_does_not_end_is_told_and_nothing_is_torn_down(tiphys, server, torn, settings, monkeypatch):
    def stuck(path):
        raise TimeoutError("the server (pid 4711) did not stop within 30 s")

    monkeypatch.setattr(process, "stop", stuck)
    code, _, errors = tiphys("down")
    assert (code, errors, torn) == (1, "tiphys down: the server (pid 4711) did not stop within 30 s\n", [])
