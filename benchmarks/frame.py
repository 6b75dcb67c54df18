"""
What every measurement needs: a server of its own, load from `wrk`, and a figure beside its claim.

A server is a real `tiphys serve` in another process, on its own port and directory, so that many measurements (and
other people's clusters) can be on one machine. Load is made by another process, too: what is measured is what a client
sees, over TLS, with a bearer token.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.client.client import Client
from tiphys.pki import tls
from tiphys.wire.pool import HttpPool, PoolLimits

TOKEN = "bench-admin"
READY_SECONDS_MAX = 60.0
# Short runs, and the best of them: another program on the machine can only make a figure worse.
WRK_SECONDS, WRK_RUNS = 3, 3
HEADING = f"{'what':58} {'ours':>14} {'claim':>14} {'Kubernetes':>14}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, the claim that it is held against, and Kubernetes' on the same kind of machine if known."""

    what: str
    ours: float
    claim: float
    unit: str
    kubernetes: float | None = None
    at_most: bool = False

    @property
    def holds(self) -> bool:
        return self.ours <= self.claim if self.at_most else self.ours >= self.claim

    def line(self) -> str:
        """The figure as a line under HEADING."""
        sign = "≤" if self.at_most else "≥"
        known = _shown(self.kubernetes, self.unit) if self.kubernetes is not None else "–"
        mark = "" if self.holds else "  missed"
        claim = f"{sign} {_shown(self.claim, self.unit)}"
        return f"{self.what:58} {_shown(self.ours, self.unit):>14} {claim:>14} {known:>14}{mark}"


def _shown(value: float, unit: str) -> str:
    digits = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{digits}{unit}" if unit in ("/s", " pods/s", "%") else f"{digits} {unit}"


@dataclass(frozen=True, slots=True)
class Server:
    """A running `tiphys serve`. `token` is an administrator's."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes]
    ready_seconds: float

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def pool(self, token: str = TOKEN, limits: PoolLimits = PoolLimits()) -> HttpPool:
        """Connections to it, for a client on this side."""
        context = tls.client_context((self.directory / "data" / "pki" / "ca.crt").read_bytes())
        return HttpPool(self.url, tls=context, headers={"authorization": f"Bearer {token}"}, limits=limits)

    def client(self, token: str = TOKEN) -> Client:
        return Client(self.pool(token), user_agent="bench")

    def kubectl(self, *arguments: str, given: str = "") -> str:
        """What kubectl prints; `given` is its standard input."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout

    def memory_mb(self) -> float:
        """Its resident memory, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


@contextmanager
def server(*options: str) -> Iterator[Server]:
    """`tiphys serve` with these options more, ready; stopped and its files removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="tiphys-bench-"))
    (directory / "tokens").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("tiphys")), "serve", "--port", str(port), "--data-dir",
        str(directory / "data"), "--token-file", str(directory / "tokens"), "--kubeconfig",
        str(directory / "kubeconfig"), "--log-level", "warning", *options,
    ]  # fmt: skip
    started = time.perf_counter()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_until((directory / "kubeconfig").exists, process, directory / "log")
        yield Server(port, directory, process, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def bare_server() -> Any:
    """The API alone, as kube-apiserver would be."""
    return server("--no-node", "--no-controllers")


def _wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start:\n{log.read_text()}")
        time.sleep(0.002)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Load:
    """What `wrk` saw in its best run."""

    per_second: float
    mean_ms: float
    errors: int


# wrk's own summary is for people; this one is for us.
_REPORT = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests":%d,"micros":%d,"mean":%f,"errors":%d}\\n', summary.requests,
    summary.duration, latency.mean, errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


# Ends a run after a number of answers instead of a time.
_STOP = """
local answered = 0
response = function() answered = answered + 1; if answered == %d then wrk.thread:stop() end end
"""
STOP_SECONDS_MAX = 300


def wrk(to: Server, path: str, *, clients: int, body: Any = None, token: str = TOKEN) -> Load:
    """Requests for `path` as fast as `clients` connections take them: GET, or POST of `body` if there is one."""
    command = [*_command(to, clients, _script(body, token)), f"-d{WRK_SECONDS}", to.url + path]
    return max((_run(command) for _ in range(WRK_RUNS)), key=lambda load: load.per_second)


@contextmanager
def posting(to: Server, path: str, *, clients: int, body: Any, count: int) -> Iterator[None]:
    """POST `body` this many times while the block lasts, and a few times more that are under way at the end."""
    command = _command(to, clients, _script(body, TOKEN) + _STOP % count)
    # It stops sending by itself, and would then wait for its time to be over.
    process = subprocess.Popen([*command, f"-d{STOP_SECONDS_MAX}", to.url + path], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _command(to: Server, clients: int, script: str) -> list[str]:
    path = to.directory / "load.lua"
    path.write_text(script)
    return ["wrk", "-t1", f"-c{clients}", "-s", str(path)]


def _script(body: Any, token: str) -> str:
    lines = [f'wrk.headers["Authorization"] = "Bearer {token}"']
    if body is not None:
        lines += [
            'wrk.method = "POST"',
            'wrk.headers["Content-Type"] = "application/json"',
            f"wrk.body = [==[{json.dumps(body)}]==]",
        ]
    return "\n".join(lines) + _REPORT


def _run(command: Sequence[str]) -> Load:
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(printed.partition("RESULT ")[2])
    if found["errors"]:
        raise RuntimeError(f"{found['errors']} of {found['requests']} requests failed: {printed}")
    return Load(found["requests"] / found["micros"] * 1e6, found["mean"] / 1000, found["errors"])


def config_map(name: str = "", size: int = 2) -> dict[str, Any]:
    """A small ConfigMap; with no name one is generated."""
    metadata = {"name": name} if name else {"generateName": "small-"}
    return {"metadata": metadata, "data": {f"key-{n}": "value" for n in range(size)}}


def small_pod() -> dict[str, Any]:
    """A pod as a ReplicaSet would make it, with one container that asks for little."""
    container = {
        "name": "app",
        "image": "registry.example/app:1",
        "ports": [{"containerPort": 80}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    return {"metadata": {"generateName": "small-", "labels": {"app": "small"}}, "spec": {"containers": [container]}}
