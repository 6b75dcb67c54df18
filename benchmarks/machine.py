"""
What measurements of a whole cluster with its node need: `tiphys up` beside any other cluster on the machine, with an
image store of its own that holds one image, and everything gone afterwards.
"""

from __future__ import annotations

import io
import json
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from benchmarks.frame import free_port
from tiphys.cluster import process, saved
from tiphys.pki import tls
from tiphys.pki.authority import load_pair

IMAGE = "localhost/bench/box:1"
PODS = "/api/v1/namespaces/default/pods"
SECONDS_MAX = 60.0
_NAMES = [
    "--node-name",
    "bench",
    "--bridge",
    "tpbench0",
    "--pod-cidr",
    "10.213.0.0/24",
    "--service-cidr",
    "10.214.0.0/16",
]
GATEWAY = "10.213.0.1"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One that runs. `up_seconds` is what the command took until it gave the prompt back."""

    port: int
    directory: Path
    up_seconds: float

    @property
    def pid(self) -> int:
        """The one process of the cluster."""
        held = saved.load(self.directory / "data")
        found = process.running(held.pid_file) if held else None
        assert found is not None, "the cluster has ended"
        return found

    def context(self) -> ssl.SSLContext:
        pki = self.directory / "data" / "pki"
        return tls.client_context((pki / "ca.crt").read_bytes(), load_pair(pki, "admin"))


class Api:
    """One connection to the cluster, as an administrator."""

    def __init__(self, cluster: Cluster) -> None:
        self._connection = HTTPSConnection("127.0.0.1", cluster.port, context=cluster.context())

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        given = None if body is None else json.dumps(body)
        self._connection.request(method, path, given, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        said: dict[str, Any] = json.loads(answer.read())
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {said.get('message')}")
        return said


class Pods:
    """What a watch tells of pods: when each was seen Ready, and which are gone."""

    def __init__(self, cluster: Cluster) -> None:
        self.ready: dict[str, float] = {}
        self.gone: set[str] = set()
        self._news = threading.Condition()
        connection = HTTPSConnection("127.0.0.1", cluster.port, context=cluster.context())
        connection.request("GET", PODS + "?watch=1")
        self._answer = connection.getresponse()
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, until: Callable[[], bool]) -> None:
        with self._news:
            if not self._news.wait_for(until, SECONDS_MAX):
                raise RuntimeError(f"not within {SECONDS_MAX:.0f} s: {len(self.ready)} Ready, {len(self.gone)} gone")

    def _read(self) -> None:
        while line := self._answer.readline():
            event = json.loads(line)
            name = event["object"]["metadata"]["name"]
            conditions = event["object"].get("status", {}).get("conditions", [])
            with self._news:
                if event["type"] == "DELETED":
                    self.gone.add(name)
                elif any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                    self.ready.setdefault(name, time.perf_counter())
                self._news.notify_all()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Brought up on an empty directory, its node Ready and its image there; purged at the end."""
    directory = Path(tempfile.mkdtemp(prefix="tiphys-bench-"))
    _make_image(directory)
    port = free_port()
    place = ["--data-dir", str(directory / "data"), "--kubeconfig", str(directory / "kubeconfig")]
    ports = ["--port", str(port), "--node-port", str(free_port()), "--storage-root", str(directory / "images")]
    try:
        started = time.perf_counter()
        _tiphys("up", *place, *ports, *_NAMES)
        yield Cluster(port, directory, time.perf_counter() - started)
    finally:
        _tiphys("down", "--purge", *place)
        subprocess.run(["umount", "-l", str(directory / "images" / "overlay")], check=False, capture_output=True)
        shutil.rmtree(directory)


def sleeping_pod(name: str) -> dict[str, Any]:
    """One container that does nothing; its image is here."""
    container = {"name": "box", "image": IMAGE, "command": ["/bin/busybox", "sleep", "100000"]}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _tiphys(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("tiphys")), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def _make_image(directory: Path) -> None:
    """busybox alone, as `docker save` writes an image, unpacked into a store of its own."""
    layer = _archive({"bin/busybox": Path(shutil.which("busybox") or "/bin/busybox").read_bytes()})
    config: dict[str, Any] = {"architecture": "amd64", "os": "linux", "config": {}}
    config["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]}
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    parts = {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(config).encode()}
    archive = directory / "box.tar"
    archive.write_bytes(_archive({**parts, "layer.tar": layer}))
    target = f"containers-storage:[overlay@{directory}/images+{directory}/images-run]{IMAGE}"
    command = ["skopeo", "--insecure-policy", "copy", "-q", f"docker-archive:{archive}", target]
    subprocess.run(command, check=True, capture_output=True)


def _archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
