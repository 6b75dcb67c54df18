"""For tests from outside: `tiphys serve --no-node --memory` as a process of its own, on a free port."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Server:
    """A running server: its admin's kubeconfig, its port, its log and what it weighs."""

    process: subprocess.Popen
    kubeconfig: Path
    log_file: Path

    @property
    def url(self):
        return yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])

    @property
    def log(self):
        return self.log_file.read_text()

    @property
    def rss_mb(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def serving(directory, *options, memory=True):
    """
    The server, ready; at the end it has stopped cleanly and never shown a traceback.

    Without `memory`, `options` say where its data and its port are.
    """
    reading, writing = os.pipe()
    kubeconfig, log_file = directory / "kubeconfig", directory / "log"
    command = [sys.executable, "-m", "tiphys", "serve", "--no-node"]
    command += ["--memory", "--port", "0"] if memory else []
    command += ["--kubeconfig", str(kubeconfig), "--progress-fd", str(writing), *options]
    with log_file.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=[writing])
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            assert any('"ready"' in line for line in told), log_file.read_text()
        server = Server(process, kubeconfig, log_file)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=20)
    assert (code, "Traceback" in server.log) == (0, False), server.log
