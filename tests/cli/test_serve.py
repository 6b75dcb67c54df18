"""`tiphys serve` as a person runs it: started, asked, stopped, and told why it does not start."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from tiphys.cli.options import run_dir_of


def serve(*options, **more):
    command = [sys.executable, "-m", "tiphys", "serve", "--no-node", "--no-controllers", *map(str, options)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **more)


@pytest.fixture
def place(tmp_path):
    """A data directory; whatever happens, no trace of it is left in /run."""
    directory = tmp_path / "data"
    yield directory
    shutil.rmtree(run_dir_of(directory), ignore_errors=True)


def steps(*options):
    """Start it, wait until it is ready, and give the process with what it told."""
    reading, writing = os.pipe()
    running = serve(*options, "--progress-fd", writing, pass_fds=[writing])
    os.close(writing)
    with os.fdopen(reading) as lines:
        return running, list(lines)


def test_it_tells_its_steps_serves_and_stops_cleanly(place, tmp_path):
    running, told = steps("--data-dir", place, "--port", 0, "--kubeconfig", tmp_path / "k")
    try:
        assert '"ready"' in told[-1] and (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    finally:
        running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=20)
    assert (running.returncode, "Traceback" in errors) == (0, False)
    assert not run_dir_of(place).exists()


def test_a_taken_port_is_one_line_that_names_it(tmp_path):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        running = serve("--memory", "--port", port)
        _, errors = running.communicate(timeout=20)
    assert running.returncode == 1
    assert errors.count("\n") == 1 and f"port {port} is taken" in errors


def test_a_token_file_that_is_not_there_is_named(tmp_path):
    running = serve("--memory", "--port", 0, "--token-file", tmp_path / "none")
    _, errors = running.communicate(timeout=20)
    assert (running.returncode, f"token file {tmp_path / 'none'} does not exist" in errors) == (1, True)


def test_memory_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    running, told = steps("--memory", "--port", 0)
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=20)
    assert ('"ready"' in told[-1], running.returncode) == (True, 0)
    assert list(tmp_path.iterdir()) == []
