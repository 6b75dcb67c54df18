"""`tiphys kubeconfig`: the administrator's, on standard output."""

from pathlib import Path


def test_it_is_printed_as_it_is(tiphys, settings):
    settings.admin_kubeconfig.write_text("apiVersion: v1\nkind: Config\n")
    assert tiphys("kubeconfig") == (0, "apiVersion: v1\nkind: Config\n", "")


def test_without_a_cluster_there_is_none(tiphys, place):
    told = f"tiphys kubeconfig: there is no cluster in {place}: start one with `tiphys up`\n"
    assert tiphys("kubeconfig") == (1, "", told)


def test_who_may_not_read_it_is_told_how(tiphys, settings, monkeypatch):
    def refuse(path):
        raise PermissionError

    monkeypatch.setattr("tiphys.cli.options.saved_settings", lambda options: settings)
    monkeypatch.setattr(Path, "read_text", refuse)
    told = f"tiphys kubeconfig: {settings.admin_kubeconfig} is the administrator's: run it with sudo\n"
    assert tiphys("kubeconfig")[2] == told
