"""Manifests of pods that say one thing each, and a real cluster in which all those of a test file run side by side."""

import base64
import http.client
import json
import ssl
from functools import cached_property
from urllib.parse import urlencode

import yaml

from cluster_builders import LiveCluster, eventually
from pod_image import IMAGE

FOREVER = "trap exit TERM; sleep 999 & wait"


def container(name, shell=FOREVER, **fields):
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", f"exec 2>&1; {shell}"], **fields}


def pod(name, shell=FOREVER, *, main=None, labels=None, annotations=None, namespace="default", **spec):
    """A pod whose one container `main` runs a shell script once; `main` adds fields to that container."""
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}, "annotations": annotations or {}}
    defaults = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    spec = {**defaults, "containers": [container("main", shell, **(main or {}))], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def of_kind(kind, name, version="v1", **fields):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, **fields}


def mounted(source, path="/v", *, main=None, **mount):
    """The fields of a pod that mounts one volume."""
    mounts = [{"name": "v", "mountPath": path, **mount}]
    return {"main": {"volumeMounts": mounts, **(main or {})}, "volumes": [{"name": "v", **source}]}


class PodsCluster(LiveCluster):
    """Asks the API directly: a test file looks at some fifty pods, and kubectl takes a tenth of a second each time."""

    def start(self, manifests):
        self.up()
        eventually(lambda: self.found("serviceaccounts", "default"), "the default service account")
        self.apply(*manifests)

    def apply(self, *objects):
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    @cached_property
    def _access(self):
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        pair = self.root / "admin.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("key", "certificate")))
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        context.load_cert_chain(pair)
        return cluster["server"].removeprefix("https://"), context

    def ask(self, path):
        """(code, body) of a GET."""
        host, context = self._access
        connection = http.client.HTTPSConnection(host, context=context, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def found(self, plural, name):
        code, body = self.ask(f"/api/v1/namespaces/default/{plural}/{name}")
        return json.loads(body) if code == 200 else None

    def pod(self, name):
        return self.found("pods", name)

    def status(self, name, container="main"):
        """Of that container, whichever sort it is; {} before the node has said anything."""
        status = self.pod(name).get("status", {})
        sorts = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        return next((one for sort in sorts for one in status.get(sort, ()) if one["name"] == container), {})

    def state(self, name, container="main"):
        """(running, waiting or terminated; its facts), or ("", {})."""
        return next(iter(self.status(name, container).get("state", {}).items()), ("", {}))

    def log(self, name, container="main", **query):
        code, body = self.ask(
            f"/api/v1/namespaces/default/pods/{name}/log?{urlencode({'container': container, **query})}"
        )
        return body if code == 200 else f"{code} {body}"

    def ended(self, name, container="main"):
        """How that container ended, once it has."""

        def terminated():
            state, facts = self.state(name, container)
            return facts if state == "terminated" else None

        return eventually(terminated, f"{name}/{container} ends; {self.pod(name).get('status')}", 25)

    def told(self, name, container="main"):
        """What that container wrote, once it has ended well."""
        end = self.ended(name, container)
        assert end["exitCode"] == 0, (end, self.log(name, container))
        return self.log(name, container)

    def ready(self, *names):
        for name in names:
            eventually(lambda name=name: self.condition(name, "Ready")["status"] == "True", f"{name} is ready", 25)
        return names[0]

    def condition(self, name, kind):
        conditions = self.pod(name).get("status", {}).get("conditions", ())
        return next((one for one in conditions if one["type"] == kind), {"status": "absent"})

    def run(self, name, *command, container="main"):
        """What a command in a running container says."""
        return self.kubectl("exec", self.ready(name), "-c", container, "--", *command)

    def shell(self, name, script, **more):
        return self.run(name, "sh", "-c", script, **more)

    def said(self, process):
        """All that a command in the background (`begin`) has said by its end."""
        self.begun.remove(process)
        return process.communicate(timeout=20)[0]

    def event(self, name, reason, text=""):
        """The message of an event of that object, once there is one with that reason and text."""

        def said():
            query = urlencode({"fieldSelector": f"involvedObject.name={name},reason={reason}"})
            items = json.loads(self.ask(f"/api/v1/namespaces/default/events?{query}")[1])["items"]
            return next((one["message"] for one in items if text in one["message"]), None)

        return eventually(said, f"an event {reason} of {name} with {text!r}", 25)

    def waits(self, name, reason, container="main"):
        """The message with which a container waits for that reason."""

        def waiting():
            state, facts = self.state(name, container)
            return facts.get("message", "-") if (state, facts.get("reason")) == ("waiting", reason) else None

        return eventually(waiting, f"{name} waits because of {reason}", 25)
