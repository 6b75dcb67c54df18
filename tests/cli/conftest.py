"""A command as a person types it, on a cluster whose parts are small fakes: nothing on the machine is touched."""

import pytest

from tiphys.cli import main
from tiphys.cluster import doctor, process, saved
from tiphys.cluster.process import Step
from tiphys.cluster.settings import Settings


@pytest.fixture
def place(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def tiphys(place, capsys):
    """`tiphys("up", …)` gives (exit code, standard output, standard error)."""

    def run(command, *options):
        code = main.main([command, "--data-dir", str(place), *map(str, options)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def root(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)


@pytest.fixture
def user(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)


@pytest.fixture
def settings(place, tmp_path):
    """Of a cluster that was brought up here."""
    made = Settings(data_dir=place, run_dir=tmp_path / "run", storage_root=tmp_path / "images")
    place.mkdir()
    saved.save(made)
    return made


class Server:
    """What `up` starts: `steps` are those it tells; `started` are its arguments; it has the pid of nobody."""

    def __init__(self):
        self.steps = [Step(name, 0.1) for name in ("keys", "store", "api", "node", process.READY)]
        self.started, self.pid, self.stops = [], None, 0

    def start(self, arguments, log):
        self.started.append(list(arguments))
        yield from self.steps
        self.pid = 4711

    def running(self, path):
        return self.pid

    def stop(self, path, timeout_seconds=0):
        ran, self.pid = self.pid is not None, None
        self.stops += 1
        return ran


@pytest.fixture
def server(root, monkeypatch):
    made = Server()
    for name in ("start", "running", "stop"):
        monkeypatch.setattr(process, name, getattr(made, name))
    monkeypatch.setattr(doctor, "missing_packages", list)
    monkeypatch.setattr("tiphys.cluster.saved.note_storage", lambda settings: None)
    return made
