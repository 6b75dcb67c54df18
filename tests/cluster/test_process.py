"""The server as a process: found again by pid and start time, told apart from strangers."""

import json
import os
import subprocess
import sys

import pytest

from tiphys.cluster import process
from tiphys.cluster.process import Progress


@pytest.fixture
def sleeper():
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield running
    running.kill()
    running.wait()


def test_the_pid_file_names_this_process(tmp_path):
    process.write_pid_file(tmp_path / "run" / "pid")
    assert process.running(tmp_path / "run" / "pid") == os.getpid()


def test_no_pid_file_means_that_nothing_runs(tmp_path):
    assert process.running(tmp_path / "pid") is None
    assert process.stop(tmp_path / "pid") is False


def test_a_pid_that_was_given_to_somebody_else_is_a_stranger(tmp_path, sleeper):
    (tmp_path / "pid").write_text(f"{sleeper.pid} 1\n")
    assert process.stop(tmp_path / "pid") is False and sleeper.poll() is None


def test_stopping_waits_until_it_is_gone(tmp_path, sleeper):
    (tmp_path / "pid").write_text(f"{sleeper.pid} {process.started_at(sleeper.pid)}\n")
    assert process.stop(tmp_path / "pid") is True
    assert process.started_at(sleeper.pid) is None and not (tmp_path / "pid").exists()


def test_progress_is_lines_of_json_that_end_with_ready():
    reading, writing = os.pipe()
    progress = Progress(writing)
    for step in ("store", process.READY, "later"):
        progress.tell(step)
    with os.fdopen(reading) as lines:
        assert [json.loads(line)["step"] for line in lines] == ["store", "ready"]


def test_a_reader_that_went_away_does_no_harm():
    reading, writing = os.pipe()
    os.close(reading)
    progress = Progress(writing)
    progress.tell("store")
    progress.tell("ready")
    os.close(writing)
