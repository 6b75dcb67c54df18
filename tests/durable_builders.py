"""A bare API server on a data directory that is killed and started again, and writers that know what they were told."""

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading

import yaml

TOKEN = "faults-token"
MAPS = "/api/v1/namespaces/default/configmaps"


class DurableServer:
    """`tiphys serve --no-node --no-controllers --data-dir ROOT/data` as a process."""

    def __init__(self, root):
        self.root, self.data, self.kubeconfig, self.log = root, root / "data", root / "kubeconfig", root / "log"
        (root / "tokens").write_text(f'{TOKEN},admin,1,"system:masters"\n')
        self.process, self.address = None, ("127.0.0.1", 0)

    def start(self):
        """Start it and wait until it is ready or gone; whether it is ready."""
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "tiphys", "serve", "--no-node", "--no-controllers", "--port", "0"]
        command += ["--data-dir", self.data, "--kubeconfig", self.kubeconfig, "--token-file", self.root / "tokens"]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*map(str, command), "--progress-fd", str(writing)], stdout=log, stderr=log, pass_fds=[writing]
            )
        os.close(writing)
        with os.fdopen(reading) as told:
            if not any('"ready"' in line for line in told):
                return False
        server = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        self.address = ("127.0.0.1", int(server.rpartition(":")[2]))
        return True

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)

    def connect(self):
        context = ssl._create_unverified_context()  # who the server is is not what is tested
        return http.client.HTTPSConnection(*self.address, context=context, timeout=30)

    def ask(self, method, path, body=None, connection=None):
        """(status, object); OSError or HTTPException when the server went away."""
        asking = connection or self.connect()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        try:
            asking.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = asking.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            if connection is None:
                asking.close()

    def ask_status(self, path):
        """Of a GET whose answer need not be JSON."""
        asking = self.connect()
        try:
            asking.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
            return asking.getresponse().status
        finally:
            asking.close()

    def values(self):
        """{name: value} of all config maps that `Writer`s wrote, and the revision of the list."""
        status, found = self.ask("GET", MAPS)
        assert status == 200, found
        items = {item["metadata"]["name"]: item["data"]["value"] for item in found["items"] if "value" in item["data"]}
        return items, int(found["metadata"]["resourceVersion"])


def config_map(name, value):
    return {"metadata": {"name": name}, "data": {"value": value}}


class Writer(threading.Thread):
    """Creates, updates and deletes config maps of its own until the server is gone."""

    def __init__(self, server, name):
        super().__init__()
        self.server, self.prefix = server, name
        self.told = {}  # name: the value that was acknowledged; None for a deletion that was
        self.revision = 0
        self.doubtful = None  # (name, value) of the request that got no answer

    def run(self):
        connection = self.server.connect()
        try:
            for number in range(1_000_000):
                for method, name, value in self._steps(number):
                    self._write(connection, method, name, value)
        except (OSError, http.client.HTTPException):
            connection.close()

    def _steps(self, number):
        name = f"{self.prefix}-{number}"
        yield "POST", name, "first"
        if number % 2:
            yield "PUT", name, f"second {number}"
        if number % 5 == 0:
            yield "DELETE", name, None

    def _write(self, connection, method, name, value):
        self.doubtful = (name, value)
        body = config_map(name, value) if value is not None else None
        status, answer = self.server.ask(method, MAPS if method == "POST" else f"{MAPS}/{name}", body, connection)
        assert status in (200, 201), answer
        self.told[name], self.doubtful = value, None
        self.revision = max(self.revision, int(answer.get("metadata", {}).get("resourceVersion", 0)))


def lost(writers, values):
    """What was acknowledged and is not so: {name: (told, found)}. A request without an answer may have come to pass."""
    wrong = {}
    for writer in writers:
        for name, told in writer.told.items():
            possible = {told} | ({writer.doubtful[1]} if writer.doubtful and writer.doubtful[0] == name else set())
            if values.get(name) not in possible:
                wrong[name] = (told, values.get(name))
    return wrong
