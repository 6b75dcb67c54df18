"""A one-node cluster brought up with the real command, kubectl and load on it, and what it leaves on the machine."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tiphys.cli.options import suffix_of

EXAMPLE = Path(__file__).parents[1] / "examples" / "01-web"
MANIFESTS = EXAMPLE / "manifests"
KUBECTL = shutil.which("kubectl")
TOOLS = "localhost/guestbook-tools:1"
PATIENCE_SECONDS = 60.0


def free_port():
    with socket.create_server(("0.0.0.0", 0)) as listener:
        return listener.getsockname()[1]


def eventually(condition, what, seconds=PATIENCE_SECONDS):
    """The first answer that is true; fails with the last one."""
    ends = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < ends, f"not within {seconds} s: {what}; last: {answer!r}"
        time.sleep(0.05)
    return answer


class LiveCluster:
    """Everything of it lies below `root`; `number` (0 to 50) tells its addresses and bridge from other clusters'."""

    def __init__(self, root, number):
        self.root, self.data, self.kubeconfig = root, root / "data", root / "kubeconfig"
        self.images, self.begun = root / "images", []
        self.options = ["--data-dir", self.data, "--port", free_port(), "--node-port", free_port()]
        self.http_port, self.https_port = free_port(), free_port()
        self.options += ["--ingress-http-port", self.http_port, "--ingress-https-port", self.https_port]
        self.options += ["--pod-cidr", f"10.{180 + number}.0.0/24", "--service-cidr", f"10.{120 + number}.0.0/16"]
        self.options += ["--bridge", f"tpht{number}", "--node-name", "here", "--storage-root", self.images]
        suffix = suffix_of(self.data.resolve())
        self.names = (f"tiphys-{suffix}", f"tpht{number}", f"10.{180 + number}.0.", f"10.{120 + number}.0.")
        self.environment = os.environ | {"KUBECONFIG": str(self.kubeconfig), "HOME": str(root)}

    def try_tiphys(self, command, *options):
        words = [sys.executable, "-m", "tiphys", command, *map(str, options)]
        return subprocess.run(words, capture_output=True, text=True, timeout=100, env=self.environment)

    def tiphys(self, command, *options):
        """What it says; fails when the command does."""
        done = self.try_tiphys(command, *options)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def try_up(self):
        return self.try_tiphys("up", *self.options, "--kubeconfig", self.kubeconfig)

    def up(self):
        return self.tiphys("up", *self.options, "--kubeconfig", self.kubeconfig)

    def down(self, *options):
        return self.tiphys("down", "--data-dir", self.data, "--kubeconfig", self.kubeconfig, *options)

    def build_example(self):
        subprocess.run([EXAMPLE / "build", "--storage-root", self.images], check=True, stdout=subprocess.DEVNULL)

    @property
    def server_pid(self):
        settings = json.loads((self.data / "cluster.json").read_text())
        return int((Path(settings["run_dir"]) / "tiphys.pid").read_text().split()[0])

    # kubectl

    def try_kubectl(self, *words, stdin=None, timeout=90):
        words = [KUBECTL, *map(str, words)]
        return subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=timeout, env=self.environment, cwd=self.root
        )

    def kubectl(self, *words, **more):
        """What it says; fails when kubectl does."""
        done = self.try_kubectl(*words, **more)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, words))}: {done.stderr}{done.stdout}"
        return done.stdout

    def begin(self, *words):
        """kubectl in the background, ended with the cluster."""
        process = subprocess.Popen(
            [KUBECTL, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment
        )
        self.begun.append(process)
        return process

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def pods(self, selector):
        """Those that are not being deleted."""
        found = self.get("pods", "-l", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def runs(self, selector):
        """(pod, restarts, container id, pids) of each container: what must not change while only the server dies."""
        found = []
        for pod in self.pods(selector):
            for status in pod["status"].get("containerStatuses", ()):
                identity = status["containerID"].partition("//")[2]
                found.append((pod["metadata"]["name"], status["restartCount"], identity, pids_of(identity)))
        return sorted(found)

    def settle(self, *deployments):
        for name in deployments:
            self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")

    def close(self):
        for process in self.begun:
            process.kill()
            process.communicate()
        if (self.data / "cluster.json").exists():
            self.down("--purge")


def pids_of(container):
    """The processes in that container's cgroup, whichever layout the machine has."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if container in path.read_text():
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return sorted(found)


class Load:
    """Constant requests, each on a connection of its own, until it is stopped."""

    def __init__(self, url, workers=6):
        self.url, self.answers, self.failures, self.versions = url, 0, [], set()
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._workers = ThreadPoolExecutor(workers)
        self._running = [self._workers.submit(self._work) for _ in range(workers)]

    def _work(self):
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(self.url, timeout=10) as answer:
                    version, failure = json.load(answer)["version"], None
            except OSError as error:
                said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
                version, failure = None, f"after {self.answers} answers: {error!r} {said}"
            with self._lock:
                self.answers += failure is None
                if failure is None:
                    self.versions.add(version)
                else:
                    self.failures.append(failure)

    def reach(self, answers):
        eventually(lambda: self.failures or self.answers >= answers, f"{answers} answers", 100)

    def stop(self):
        self._stop.set()
        for one in self._running:
            one.result()
        self._workers.shutdown()


@contextmanager
def load_on(url):
    load = Load(url)
    try:
        yield load
    finally:
        load.stop()


# what is on the machine

TREES = ("/run", "/var/lib", "/var/log", "/etc", "/root/.kube")
NOT_OURS = (
    "/var/lib/dpkg",
    "/var/lib/apt",
    "/var/lib/containers",
    "/run/containers",
    "/root/.kube/cache",
    "/run/tiphys-tests.lock",
)


def _said(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def machine(live):
    """
    Rules, links, addresses, routes, switches, mounts, cgroups and files, as lines.

    Without what clusters of other tests, which may come and go meanwhile, call by their own names.
    """
    rules = json.loads("".join(_said("nft", "-j", "-s", "list", "ruleset")))["nftables"]
    lines = [f"rule {json.dumps({**one, 'handle': 0})}" for rule in rules for one in rule.values() if "table" in one]
    lines += [f"link {line.split()[1].partition('@')[0]}" for line in _said("ip", "-o", "link")]
    lines += [f"address {' '.join(line.split()[1:4])}" for line in _said("ip", "-o", "address")]
    lines += [f"route {line}" for line in _said("ip", "-4", "route", "show", "table", "all")]
    lines += [f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    lines += [f"cgroup {line}" for line in _said("find", "/sys/fs/cgroup", "-type", "d")]
    for tree in TREES:
        if Path(tree).exists():
            lines += [f"file {line}" for line in _said("find", tree, "-xdev", "-not", "-type", "s")]
    return {line for line in lines if not _is_others(line, live)}


def _is_others(line, live):
    if any(name in line for name in (str(live.root), *live.names)):
        return False
    return "/pytest-" in line or "tiphys-" in line or any(name in line for name in NOT_OURS)
