"""Registries on loopback (Debian's docker-registry), and small images that are pushed to them."""

import json
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode

from cluster_builders import eventually

# The user ann with the password s3cret.
PASSWORDS = "ann:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"


class Registry:
    """Plain HTTP on a port of its own; with a lock, only ann may read and write."""

    def __init__(self, root, port, *, locked=False):
        self.name, self._root, self._locked = f"127.0.0.1:{port}", root / f"registry-{port}", locked
        self._root.mkdir()
        (self._root / "passwords").write_text(PASSWORDS)
        guard = {"htpasswd": {"realm": "here", "path": str(self._root / "passwords")}} if locked else {}
        config = {
            "version": "0.1", "log": {"level": "error"}, "http": {"addr": self.name}, "auth": guard,
            "storage": {"filesystem": {"rootdirectory": str(self._root / "data")}},
        }  # fmt: skip
        (self._root / "config.json").write_text(json.dumps(config))
        self._process = subprocess.Popen(
            ["docker-registry", "serve", self._root / "config.json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers, "the registry", 15)

    def _answers(self):
        try:
            return bool(urllib.request.urlopen(f"http://{self.name}/v2/", timeout=2).close() is None)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code == 401
        except OSError:
            return False

    def push(self, name, says):
        """An image whose program says that."""
        buildah = ["buildah", "--root", self._root / "images", "--runroot", self._root / "run"]

        def run(*words):
            words = [*buildah, "--storage-driver", "vfs", *words]
            return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

        made = run("from", "scratch")
        run("copy", "-q", made, "/bin/busybox", "/bin/sh")
        run("config", "--env", f"SAYS={says}", "--cmd", "sh -c 'echo $SAYS'", made)
        run("commit", "-q", "--rm", made, name)
        word = ["--creds", "ann:s3cret"] if self._locked else []
        run("push", "-q", "--tls-verify=false", *word, name, f"docker://{self.name}/{name}")

    def close(self):
        self._process.terminate()
        self._process.wait(10)


def pull_secret(name, registry, password):
    """A Secret of the kind that `kubectl create secret docker-registry` makes."""
    auths = {"auths": {registry: {"auth": b64encode(f"ann:{password}".encode()).decode()}}}
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "namespace": "default"},
        "data": {".dockerconfigjson": b64encode(json.dumps(auths).encode()).decode()},
    }  # fmt: skip
