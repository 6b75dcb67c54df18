"""
Ingress: requests that HAProxy forwards in a second of its processor time, with the routes of 100 Ingresses, and with
the least configuration that a person would write by hand. The same program, backend and load, on kept connections.

What is counted is the time that the proxy's worker used, so that neither the load nor the backend is measured, and
other work on the machine matters little. No cluster is needed: the files are made by the code that a node runs.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.frame import Figure, free_port

from tiphys.ingress.config import files
from tiphys.ingress.haproxy import HaProxy, end, running
from tiphys.ingress.plan import plan
from tiphys.ingress.servers import Server
from tiphys.ingress.settings import IngressSettings

INGRESSES, CLIENTS, SECONDS, RUNS = 100, 32, 1, 4
HOST = "web-77.test"
DEFAULTS = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""
BACKEND = (
    DEFAULTS
    + """
frontend answers
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string "hello"
"""
)
BY_HAND = (
    DEFAULTS
    + """
frontend in
    bind 127.0.0.1:{port}
    default_backend web
backend web
    server s1 127.0.0.1:{backend}
"""
)


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as name:
        directory, backend, port = Path(name), free_port(), free_port()
        answers = _proxy(directory / "backend.cfg", BACKEND.format(port=backend))
        alone = _proxy(directory / "hand.cfg", BY_HAND.format(port=port, backend=backend))
        with answers, _on_one_core(), alone as by_hand:
            ours, least = asyncio.run(_compared(directory / "run", backend, (port, by_hand)))
    return [
        Figure("Ingress, one core, keep-alive, of HAProxy on its own", ours / least * 100, 80, "%"),
        Figure("  requests for each second of its processor time", ours, least * 0.8, "/s"),
    ]


async def _compared(directory: Path, backend: int, by_hand: tuple[int, int]) -> tuple[float, float]:
    """The best rates of ours and of the other, measured in turn: what slows the machine down slows down both."""
    settings = IngressSettings(directory, "127.0.0.1", "127.0.0.1", free_port(), free_port())
    planned = plan([_ingress(number) for number in range(INGRESSES)], lambda *_: _service(), lambda *_: None)
    servers = {name: [Server("127.0.0.1", backend)] for name in planned.table.pools}
    haproxy = HaProxy(settings, lambda: None)
    try:
        await haproxy.start(files(planned.table, servers, settings))
        master = running(directory)
        worker = int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])
        rates = [(_rate(settings.http_port, worker), _rate(*by_hand)) for _ in range(RUNS)]
        return max(ours for ours, _ in rates), max(alone for _, alone in rates)
    finally:
        haproxy.close()
        await asyncio.to_thread(end, directory)


@contextmanager
def _on_one_core() -> Iterator[None]:
    """What is started meanwhile has as many threads as it finds cores: one."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _ingress(number: int) -> dict[str, Any]:
    backend = {"service": {"name": f"web-{number}", "port": {"number": 80}}}
    paths = [{"path": path, "pathType": "Prefix", "backend": backend} for path in ("/", "/api", "/static")]
    spec = {"rules": [{"host": f"web-{number}.test", "http": {"paths": paths}}]}
    return {"metadata": {"name": f"web-{number}", "namespace": "shop"}, "spec": spec}


def _service() -> dict[str, Any]:
    return {"spec": {"ports": [{"port": 80}]}}


@contextmanager
def _proxy(config: Path, text: str) -> Iterator[int]:
    config.write_text(text)
    process = subprocess.Popen(["haproxy", "-q", "-db", "-f", str(config)])
    try:
        time.sleep(0.3)
        yield process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _rate(port: int, pid: int) -> float:
    """Requests for each second of the process' time."""
    before = _used(pid)
    command = [
        "taskset",
        "-c",
        f"0-{(os.cpu_count() or 1) - 1}",
        "wrk",
        "-t1",
        f"-c{CLIENTS}",
        f"-d{SECONDS}",
        "-H",
        f"Host: {HOST}",
        f"http://127.0.0.1:{port}/api/x",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        raise RuntimeError(said)
    found = re.search(r"(\d+) requests in", said)
    assert found is not None, said
    return int(found[1]) / (_used(pid) - before)


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
