"""Who reaches a pod: network policies between pods, and Ingresses from outside."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import threading
from pathlib import Path

import pytest

from cluster_builders import eventually
from ingress_builders import tls_secret
from pod_cluster import container, of_kind, pod

pytestmark = pytest.mark.host

SERVE = "trap exit TERM; python3 /tool.py http 8080 & wait"
READY = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
PORTS = [{"name": "web", "containerPort": 8080}]
NETWORKING = "networking.k8s.io/v1"


def server(name, **labels):
    return pod(name, SERVE, labels=labels, main={"readinessProbe": READY, "ports": PORTS})


def deployment(name):
    env = [{"name": "POD_NAME", "value": f"{name}-1"}]
    main = container("main", SERVE, readinessProbe=READY, ports=PORTS, env=env)
    spec = {"containers": [main], "terminationGracePeriodSeconds": 5}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    strategy = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    fields = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template, "strategy": strategy}
    return of_kind("Deployment", name, "apps/v1", spec=fields)


def service(name):
    ports = [{"name": "http", "port": 80, "targetPort": "web"}]
    return of_kind("Service", name, spec={"selector": {"app": name}, "ports": ports})


def policy(name, selected, **spec):
    types = [kind for kind in ("Ingress", "Egress") if kind.lower() in spec]
    spec = {"podSelector": {"matchLabels": selected}, "policyTypes": types, **spec}
    return of_kind("NetworkPolicy", name, NETWORKING, spec=spec)


def to(name, path="/", kind="Prefix"):
    return {"path": path, "pathType": kind, "backend": {"service": {"name": name, "port": {"name": "http"}}}}


RULES = [
    {"host": "shop.test", "http": {"paths": [to("shop"), to("api", "/api")]}},
    {"host": "*.api.test", "http": {"paths": [to("api")]}},
]
FRIENDS = [{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}], "ports": [{"port": "web"}]}]
MANIFESTS = [
    server("closed", zone="closed"),
    server("guarded", zone="closed", app="guarded"),
    pod("friend", labels={"role": "friend"}),
    pod("stranger", labels={"role": "stranger"}),
    pod("mute", labels={"role": "mute"}),
    policy("default-deny", {"zone": "closed"}, ingress=[]),
    policy("friends", {"app": "guarded"}, ingress=FRIENDS),
    policy("mute", {"role": "mute"}, egress=[]),
    deployment("shop"),
    deployment("api"),
    service("shop"),
    service("api"),
    {**tls_secret("shop-tls", "shop.test"), "metadata": {"name": "shop-tls", "namespace": "default"}},
    of_kind("Ingress", "front", NETWORKING, spec={
        "rules": RULES, "tls": [{"hosts": ["shop.test"], "secretName": "shop-tls"}]}),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def haproxy():
    if shutil.which("haproxy") is None:
        pytest.skip("no haproxy on this machine")


def address(live, name):
    live.ready(name)
    return live.pod(name)["status"]["podIP"]


def reaches(live, client, host, seconds=5):
    """Whether a pod gets an answer of port 8080 there."""
    live.ready(client)
    command = ("exec", client, "--", "curl", "-s", "-o", "/dev/null", "-m", seconds, f"http://{host}:8080/")
    return live.try_kubectl(*command).returncode == 0


def test_default_deny_lets_probes_in_and_nobody_else(live):
    assert not reaches(live, "friend", address(live, "closed"), 1)


def test_a_label_and_a_named_port_open_the_door(live):
    guarded = address(live, "guarded")
    assert reaches(live, "friend", guarded) and not reaches(live, "stranger", guarded, 1)


def test_a_pod_that_may_reach_nobody_reaches_nobody_but_its_node(live):
    shop = live.found("services", "shop")["spec"]["clusterIP"]
    live.ready("mute")
    assert live.try_kubectl("exec", "mute", "--", "curl", "-s", "-m", 1, f"http://{shop}/").returncode == 28
    assert live.shell("mute", "python3 /tool.py dns shop.default.svc.cluster.local A").split()[-1] == shop


def test_a_block_goes_without_its_exceptions(live):
    closed, guarded = address(live, "closed"), address(live, "guarded")
    block = {"cidr": f"{closed}/24", "except": [f"{address(live, 'stranger')}/32"]}
    live.apply(policy("block", {"zone": "closed"}, ingress=[{"from": [{"ipBlock": block}]}]))
    assert eventually(lambda: reaches(live, "friend", closed, 1), "the block opens")
    assert not reaches(live, "stranger", guarded, 1)
    live.kubectl("delete", "networkpolicy", "block")
    eventually(lambda: not reaches(live, "friend", closed, 1), "it closes again")


# Ingress


def connection(live, secure=False):
    if not secure:
        return http.client.HTTPConnection("127.0.0.1", live.http_port, timeout=10)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    made = http.client.HTTPConnection("127.0.0.1", live.https_port, timeout=10)
    made.connect()
    made.sock = context.wrap_socket(made.sock, server_hostname="shop.test")
    return made


def ask(live, host, path="/", secure=False):
    """(code, name of the pod's deployment and version)."""
    with contextlib.closing(connection(live, secure)) as made:
        made.request("GET", path, headers={"Host": host})
        answer = made.getresponse()
        return answer.status, answer.read().decode().partition(" ")[0]


@pytest.fixture(scope="module")
def front(live):
    """The Ingress, with all that is behind it ready."""
    live.settle("shop", "api")
    eventually(lambda: ask(live, "shop.test")[0] == 200 and ask(live, "x.api.test")[0] == 200, "both are served")
    return live


def test_hosts_prefixes_and_tls_lead_to_their_services(front):
    assert ask(front, "shop.test", "/x") == (200, "shop-1") and ask(front, "shop.test", "/api/x") == (200, "api-1")
    assert ask(front, "v1.api.test") == (200, "api-1") and ask(front, "shop.test", secure=True) == (200, "shop-1")
    assert ask(front, "other.test")[0] == 404


def test_the_ingress_has_the_nodes_address_and_the_built_in_class(front):
    ingress = front.get("ingress", "front")
    node = front.get("node", "here")["status"]["addresses"][0]["address"]
    assert ingress["status"]["loadBalancer"]["ingress"] == [{"ip": node}]
    assert ingress["spec"]["ingressClassName"] == "tiphys"
    assert "served at" in front.event("front", "Programmed")


class Visitors:
    """Requests without a pause, half of them on kept connections."""

    def __init__(self, live):
        self.live, self.answers, self.failures, self.seen = live, 0, [], set()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(number % 2 == 0,)) for number in range(4)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def work(self, keep):
        made = connection(self.live)
        while not self.over.is_set():
            try:
                made.request("GET", "/", headers={"Host": "shop.test"})
                answer = made.getresponse()
                said = answer.read().decode().partition(" ")[0]
                self.failures += [] if answer.status == 200 else [answer.status]
                self.seen.add(said)
            except OSError as error:
                self.failures.append(repr(error))
            self.answers += 1
            if not keep:
                made.close()
        made.close()

    def more(self, count):
        wanted = self.answers + count
        eventually(lambda: self.answers >= wanted or self.failures, f"{count} answers")


def test_no_request_fails_while_versions_routes_and_the_server_change(front):
    with Visitors(front) as visitors:
        visitors.more(50)
        front.kubectl("set", "env", "deployment/shop", "POD_NAME=shop-2")
        front.settle("shop")
        patch = [{"op": "add", "path": "/spec/rules/-", "value": {"host": "new.test", "http": {"paths": [to("api")]}}}]
        front.kubectl("patch", "ingress", "front", "--type=json", "-p", json.dumps(patch))
        eventually(lambda: ask(front, "new.test")[0] == 200, "the new host")
        os.kill(front.server_pid, signal.SIGKILL)
        visitors.more(100)
        front.up()
        front.kubectl("set", "env", "deployment/shop", "POD_NAME=shop-3")
        front.settle("shop")
        visitors.more(50)
    assert visitors.failures == [] and visitors.seen == {"shop-1", "shop-2", "shop-3"}


def test_down_ends_the_data_plane_and_up_brings_it_back(front):
    directory = Path(json.loads((front.data / "cluster.json").read_text())["run_dir"]) / "ingress"
    assert (directory / "haproxy.pid").exists()
    front.down()
    assert not directory.exists() and refused(front)
    front.up()
    eventually(lambda: not refused(front) and ask(front, "shop.test")[0] == 200, "it is served again")


def refused(live):
    try:
        ask(live, "shop.test")
    except ConnectionRefusedError:
        return True
    return False


def test_with_the_last_ingress_the_ports_are_free(front):
    front.kubectl("delete", "ingress", "front")
    eventually(lambda: refused(front), "nobody listens")
