"""What pods and nodes use, as kubectl top and the Summary API show it, and autoscaling by it."""

import base64
import contextlib
import http.client
import json
import time

import pytest

from cluster_builders import eventually
from pod_cluster import FOREVER, container, mounted, of_kind, pod
from tiphys.pki import authority

pytestmark = pytest.mark.host

BUSY = "trap exit TERM; while :; do :; done"
WORKER = "trap exit TERM; while [ ! -e /go ]; do sleep 0.1; done; " + BUSY


def deployment(name, shell, **main):
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container("main", shell, **main)]}}
    template["spec"]["terminationGracePeriodSeconds"] = 0
    return of_kind("Deployment", name, "apps/v1", spec={"selector": {"matchLabels": labels}, "template": template})


def autoscaler(name, *metrics, most):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "maxReplicas": most, "metrics": list(metrics)}
    return of_kind("HorizontalPodAutoscaler", name, "autoscaling/v2", spec=spec)


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
KEEPING = """
from http.server import *
class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
ThreadingHTTPServer(("", 8000), Answer).serve_forever()
"""
ADAPTER = """
import json, ssl
from http.server import *
ROOT = "/apis/external.metrics.k8s.io/v1beta1"
QUEUE = {"name": "queue", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        value = {"metricName": "queue", "timestamp": "2027-01-15T08:00:00Z", "value": "30"}
        found = {"items": [{**value, "who": self.headers["x-remote-user"]}]}
        told = {"resources": [QUEUE]} if self.path == ROOT else found
        body = json.dumps(told).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
server = ThreadingHTTPServer(("", 8443), Answer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/v/pair.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
SIGNER = authority.create("adapter-ca")
PAIR = SIGNER.issue_server("adapter", ("adapter.default.svc",))
API_SERVICE = {
    "group": "external.metrics.k8s.io",
    "version": "v1beta1",
    "groupPriorityMinimum": 100,
    "versionPriority": 100,
    "service": {"namespace": "default", "name": "adapter"},
    "caBundle": base64.b64encode(SIGNER.bundle).decode(),
}
QUEUED = {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}}
SLICE = {"limits": {"cpu": "100m"}, "requests": {"cpu": "50m"}}
MANIFESTS = [
    deployment("worker", WORKER, resources=SLICE),
    deployment("drain", FOREVER),
    autoscaler("drain", {"type": "External", "external": QUEUED}, most=5),
    of_kind("Secret", "adapter", stringData={"pair.pem": (PAIR.key + PAIR.certificate).decode(), "serve.py": ADAPTER}),
    pod(
        "adapter",
        "trap exit TERM; python3 /v/serve.py & wait",
        labels={"app": "adapter"},
        **mounted({"secret": {"secretName": "adapter"}}),
    ),
    of_kind("Service", "adapter", spec={"selector": {"app": "adapter"}, "ports": [{"port": 443, "targetPort": 8443}]}),
    {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
        "spec": API_SERVICE,
    },
    pod("web", "trap exit TERM; python3 -c '" + KEEPING + "' & wait", labels={"app": "web"}),
    of_kind("Service", "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}),
    autoscaler("worker", CPU, most=2),
    pod("busy", BUSY, main={"resources": {"limits": {"cpu": "300m"}}}),
    pod("two", containers=[container("one", FOREVER), container("other", FOREVER)]),
]


def cores(text):
    return int(text.removesuffix("m")) / 1000


def top(live, *words):
    """The words of each line that kubectl top prints."""
    done = live.try_kubectl("top", *words, "--no-headers")
    return [line.split() for line in done.stdout.splitlines()]


def test_top_shows_a_busy_pod(live):
    live.ready("busy", "two")

    def measured():
        found = {name: cores(cpu) for name, cpu, _ in top(live, "pod")}
        return found if 0.1 < found.get("busy", 0) < 0.4 else None

    found = eventually(measured, "a third of a core is used", 20)
    assert found["two"] < 0.05


def test_top_shows_containers_apart(live):
    live.ready("two")

    def both():
        # A look of a moment ago may be from before the second one began.
        found = top(live, "pod", "two", "--containers")
        return found if [line[:2] for line in found] == [["two", "one"], ["two", "other"]] else None

    found = eventually(both, "both containers are measured", 20)
    assert all(line[3].endswith("Mi") for line in found)


def test_top_shows_the_node(live):
    (name, cpu, share, memory, _), *_ = eventually(lambda: top(live, "node"), "the node is measured", 20)
    assert name == "here" and cores(cpu) > 0.1 and share.endswith("%") and int(memory.removesuffix("Mi")) > 100


def test_the_summary_tells_of_pods_as_a_kubelet_does(live):
    live.ready("busy")

    def told():
        code, body = live.ask("/api/v1/nodes/here/proxy/stats/summary")
        pods = {pod["podRef"]["name"]: pod for pod in json.loads(body)["pods"]} if code == 200 else {}
        return pods.get("busy")

    pod = eventually(told, "the summary of a pod", 20)
    (one,) = pod["containers"]
    assert pod["cpu"]["usageNanoCores"] > 5e7 and one["memory"]["workingSetBytes"] > 0
    assert pod["network"]["name"] == "eth0" and one["rootfs"]["inodesUsed"] > 0
    assert [volume["name"][:15] for volume in pod["volume"]] == ["kube-api-access"]
    for path, metric in (("resource", "pod_cpu_usage_seconds_total"), ("cadvisor", "container_memory_rss")):
        assert f"\n{metric}{{" in live.ask(f"/api/v1/nodes/here/proxy/metrics/{path}")[1]


def test_the_api_is_registered_as_available(live):
    found = json.loads(live.ask("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io")[1])
    assert found["status"]["conditions"][0]["status"] == "True"


def test_load_brings_replicas(live):
    live.settle("worker")

    def watched():
        status = json.loads(live.kubectl("get", "hpa", "worker", "-o", "json"))["status"]
        active = [one["status"] for one in status["conditions"] if one["type"] == "ScalingActive"]
        return status if active == ["True"] else None

    assert eventually(watched, "the autoscaler sees the load", 20)["desiredReplicas"] == 1
    live.kubectl("exec", "deploy/worker", "--", "touch", "/go")
    assert "above target" in live.event("worker", "SuccessfulRescale")
    live.settle("worker")
    assert len(live.pods("app=worker")) == 2


def rate(live, metric):
    code, body = live.ask(f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/services/web/{metric}")
    value = json.loads(body)["items"][0]["value"] if code == 200 else "0"
    return float(value.removesuffix("m")) / (1000 if value.endswith("m") else 1)


def test_requests_of_a_service_are_counted_also_on_a_connection_that_is_kept(live):
    live.ready("web")
    address = live.found("services", "web")["spec"]["clusterIP"]
    with contextlib.closing(http.client.HTTPConnection(address)) as connection:
        began, asked = time.monotonic(), 0
        while time.monotonic() < began + 2.5:
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok"
            asked += 1
            found = rate(live, "requests_per_second")
            time.sleep(0.05)
        per_second = asked / (time.monotonic() - began)
        assert found > 5 and abs(found - per_second) < 0.4 * per_second
        assert rate(live, "connections_per_second") < 1


def test_a_metric_of_another_server_scales(live):
    eventually(lambda: len(live.pods("app=drain")) == 3, "one replica for each ten that wait", 25)
    name = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"

    def available():
        (condition,) = json.loads(live.ask(name)[1])["status"]["conditions"]
        return (condition["status"], condition["reason"]) == ("True", "Passed")

    eventually(available, "the server is known to answer", 10)
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue"
    assert json.loads(live.kubectl("get", "--raw", path))["items"][0]["who"] == "kubernetes-admin"
    assert "queue" in live.kubectl("api-resources", "--api-group=external.metrics.k8s.io")
