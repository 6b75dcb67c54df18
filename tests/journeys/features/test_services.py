"""What a Service can say: who answers at its addresses, from pods, the host and outside, and under which names."""

import json
import subprocess
import time
from contextlib import contextmanager

import pytest

from cluster_builders import eventually
from pod_cluster import of_kind, pod

pytestmark = pytest.mark.host

OUTSIDE, NEAR, FAR = "tiphys-outside", "198.51.100.1", "198.51.100.2"
EXTERNAL = "203.0.113.77"
DOMAIN = "default.svc.cluster.local"
HTTP = "exec python3 /tool.py http 8080"
BOTH = f"python3 /tool.py udp 9000 & {HTTP}"
SLOW_END = "trap 'sleep 4; exit' TERM; python3 /tool.py http 8080 & wait"
READY = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
NEVER = {"exec": {"command": ["false"]}}
WEB = [{"name": "http", "port": 80, "targetPort": "web"}]


def server(name, app, shell=HTTP, probe=READY, ports=(), **spec):
    main = {"readinessProbe": probe, "ports": [{"name": "web", "containerPort": 8080}, *ports]}
    return pod(name, shell, labels={"app": app}, main=main, **spec)


def service(name, app=None, ports=WEB, **spec):
    return of_kind("Service", name, spec={"ports": ports, **({"selector": {"app": app}} if app else {}), **spec})


def elsewhere(name):
    """An endpoint on another node."""
    labels = {"kubernetes.io/service-name": name}
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": f"{name}-1", "namespace": "default", "labels": labels},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.191.77.7"], "nodeName": "far", "conditions": {"ready": True}}],
    }  # fmt: skip


MANIFESTS = [
    pod("client"),
    server("web-1", "web", BOTH, hostname="first", subdomain="headless"),
    server("web-2", "web", BOTH),
    server("alone", "alone", ports=[{"containerPort": 8080, "hostPort": 18081, "name": "direct"}]),
    server("sick", "sick", probe=NEVER),
    server("leaves-1", "leaves", SLOW_END, terminationGracePeriodSeconds=20),
    server("leaves-2", "leaves", SLOW_END, terminationGracePeriodSeconds=20),
    service("web", "web", [*WEB, {"name": "alt", "port": 8000, "targetPort": 8080},
                           {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 9000}]),
    service("sticky", "web", sessionAffinity="ClientIP"),
    service("headless", "web", clusterIP="None"),
    service("hidden", "sick"),
    service("shown", "sick", clusterIP="None", publishNotReadyAddresses=True),
    service("empty", "nobody"),
    service("itself", "alone"),
    service("leaving", "leaves"),
    service("alias", type="ExternalName", ports=[], externalName="www.example.org"),
    service("open", "web", type="NodePort", ports=[{**WEB[0], "nodePort": 30180}]),
    service("open-local", "web", type="NodePort", ports=[{**WEB[0], "nodePort": 30181}], externalTrafficPolicy="Local"),
    service("balanced", "web", type="LoadBalancer"),
    service("outer", "web", externalIPs=[EXTERNAL]),
    service("near", "web", internalTrafficPolicy="Local"),
    service("far", internalTrafficPolicy="Local"), elsewhere("far"),
    service("by-hand"),
]  # fmt: skip


@pytest.fixture(scope="module")
def outside(live):
    """Run a command in a network that knows this machine as its router."""
    with network():
        yield lambda *words: said("ip", "netns", "exec", OUTSIDE, *words)


@contextmanager
def network():
    try:
        for words in (
            f"netns add {OUTSIDE}", f"link add tpout0 type veth peer name tpout1 netns {OUTSIDE}",
            f"addr add {NEAR}/30 dev tpout0", "link set tpout0 up", f"-n {OUTSIDE} addr add {FAR}/30 dev tpout1",
            f"-n {OUTSIDE} link set tpout1 up", f"-n {OUTSIDE} route add default via {NEAR}",
        ):  # fmt: skip
            said("ip", *words.split())
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", OUTSIDE], check=False)
        subprocess.run(["ip", "link", "delete", "tpout0"], check=False, stderr=subprocess.DEVNULL)


def said(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout


def address(live, name):
    return live.pod(name)["status"]["podIP"]


def curl(live, url, origin="client", times=1):
    """Who answered, each time."""
    live.ready("web-1", "web-2", "alone")
    script = f"for i in $(seq {times}); do curl -s -m 3 {url}; done"
    return [line.split() for line in live.shell(origin, script).splitlines()]


def dns(live, name, kind="A", origin="client"):
    """(code, records) of a question that a pod asks."""
    code, *records = live.run(origin, "python3", "/tool.py", "dns", name, kind).splitlines()
    return code, [line.split(maxsplit=2) for line in records]


def test_every_ready_pod_answers_for_its_service(live):
    names = {words[0] for words in curl(live, "http://web", times=30)}
    assert names == {"first", "web-2"}


def test_a_service_has_several_ports_by_number_and_name(live):
    assert len(curl(live, "http://web:8000")) == 1
    assert live.run("client", "python3", "/tool.py", "ask-udp", "web", "53").split()[0] in ("first", "web-2")


def test_a_pod_sees_the_address_of_the_pod_that_asks(live):
    assert curl(live, "http://web")[0][1] == address(live, "client")


def test_a_client_stays_with_its_pod_where_affinity_is_asked_for(live):
    assert len({words[0] for words in curl(live, "http://sticky", times=15)}) == 1


def test_a_pod_reaches_itself_through_its_service(live):
    assert curl(live, "http://itself", "alone")[0][0] == "alone"


def test_names_are_found_along_the_search_path(live):
    for name in ("web.default", "web.default.svc", f"web.{DOMAIN}", f"web.{DOMAIN}."):
        assert len(curl(live, f"http://{name}")) == 1, name


def test_a_service_has_address_port_and_reverse_records(live):
    cluster_ip = live.found("services", "web")["spec"]["clusterIP"]
    assert dns(live, f"web.{DOMAIN}") == ("NOERROR", [[f"web.{DOMAIN}", "1", cluster_ip]])
    assert dns(live, f"_http._tcp.web.{DOMAIN}", "SRV")[1][0][2] == f"80 web.{DOMAIN}"
    reverse = ".".join(reversed(cluster_ip.split("."))) + ".in-addr.arpa"
    assert dns(live, reverse, "PTR")[1][0][2] == f"web.{DOMAIN}"


def test_a_headless_service_names_its_pods(live):
    live.ready("web-1", "web-2")
    pods = {address(live, "web-1"), address(live, "web-2")}
    eventually(lambda: {record[2] for record in dns(live, f"headless.{DOMAIN}")[1]} == pods, "both pods", 5)
    assert dns(live, f"first.headless.{DOMAIN}")[1][0][2] == address(live, "web-1")
    targets = [record[2] for record in dns(live, f"_http._tcp.headless.{DOMAIN}", "SRV")[1]]
    assert f"8080 first.headless.{DOMAIN}" in targets


def test_names_that_do_not_exist_are_denied(live):
    assert dns(live, f"nothing.{DOMAIN}") == ("NXDOMAIN", [])


def test_an_alias_leads_to_another_name(live):
    assert dns(live, f"alias.{DOMAIN}", "CNAME")[1] == [[f"alias.{DOMAIN}", "5", "www.example.org"]]


def test_an_upstream_that_does_not_answer_is_told_soon(live):
    for seconds in (6, 2):
        began = time.monotonic()
        assert dns(live, "www.example.invalid")[0] in ("SERVFAIL", "NXDOMAIN")
        assert time.monotonic() - began < seconds, "the second time it is known"


def test_pods_that_are_not_ready_do_not_answer(live):
    live.shell("client", "true")
    eventually(lambda: live.status("sick").get("state", {}).get("running"), "the sick pod", 20)
    assert live.run("client", "python3", "/tool.py", "connect", "hidden", "80") == "ConnectionRefusedError 0\n"
    eventually(lambda: dns(live, f"shown.{DOMAIN}")[1], "its record", 5)
    assert dns(live, f"shown.{DOMAIN}")[1][0][2] == address(live, "sick")


def test_a_service_without_pods_refuses(live):
    assert live.run("client", "python3", "/tool.py", "connect", "empty", "80") == "ConnectionRefusedError 0\n"


def test_a_service_answers_on_a_port_of_the_node(live, outside):
    curl(live, "http://web")
    asked = outside("curl", "-s", "-m", "3", f"http://{NEAR}:30180").split()
    assert asked[0] in ("first", "web-2") and asked[1] != FAR
    assert outside("curl", "-s", "-m", "3", f"http://{NEAR}:30181").split()[1] == FAR, (
        "Local keeps the client's address"
    )


def test_the_host_itself_reaches_services(live):
    curl(live, "http://web")
    cluster_ip = live.found("services", "web")["spec"]["clusterIP"]
    node_ip = live.pod("client")["status"]["hostIP"]
    for url in (f"http://{cluster_ip}", f"http://{node_ip}:30180"):
        assert said("curl", "-s", "-m", "3", url).split()[0] in ("first", "web-2")


def test_a_load_balancer_has_an_address_of_the_node_that_answers(live, outside):
    curl(live, "http://web")
    status = eventually(lambda: live.found("services", "balanced")["status"]["loadBalancer"], "an address", 10)
    ip = status["ingress"][0]["ip"]
    assert ip == live.pod("client")["status"]["hostIP"]
    assert outside("curl", "-s", "-m", "3", f"http://{ip}").split()[0] in ("first", "web-2")
    assert len(curl(live, f"http://{ip}")) == 1
    assert ip in live.kubectl("get", "service", "balanced")


def test_an_external_address_answers_inside_and_outside(live, outside):
    assert len(curl(live, f"http://{EXTERNAL}")) == 1
    assert outside("curl", "-s", "-m", "3", f"http://{EXTERNAL}").split()[0] in ("first", "web-2")


def test_a_port_of_the_host_leads_to_its_pod(live, outside):
    live.ready("alone")
    assert outside("curl", "-s", "-m", "3", f"http://{NEAR}:18081").split()[:2] == ["alone", FAR]
    node_ip = live.pod("client")["status"]["hostIP"]
    assert curl(live, f"http://{node_ip}:18081")[0][0] == "alone"


def test_local_services_use_only_pods_of_this_node(live):
    assert len(curl(live, "http://near")) == 1
    done = live.try_kubectl("exec", live.ready("client"), "--", "curl", "-s", "-m", "1", "http://far")
    assert done.returncode in (1, 28) and "28" in done.stderr, "nobody says no: packets are dropped"


def test_endpoints_can_be_written_by_hand(live):
    live.ready("web-2")
    slice_ = elsewhere("by-hand")
    slice_["endpoints"] = [{"addresses": [address(live, "web-2")], "conditions": {}}]
    live.apply(slice_)
    eventually(lambda: curl(live, "http://by-hand"), "an answer", 5)
    assert curl(live, "http://by-hand")[0][0] == "web-2"


def test_a_pod_that_leaves_gets_no_new_connections_while_others_are_there(live):
    live.ready("leaves-1", "leaves-2")
    live.kubectl("delete", "pod", "leaves-1", "--wait=false")
    eventually(
        lambda: {words[0] for words in curl(live, "http://leaving", times=8)} == {"leaves-2"}, "the other one", 3
    )
    live.kubectl("delete", "pod", "leaves-2", "--wait=false")
    assert len(curl(live, "http://leaving", times=3)) == 3, "who is leaving still answers if nobody else can"


def test_a_service_that_changes_is_followed(live):
    curl(live, "http://web")
    live.apply(service("moves", "web"))
    eventually(lambda: curl(live, "http://moves"), "an answer", 5)
    live.kubectl("patch", "service", "moves", "-p", '{"spec":{"selector":{"app":"alone"}}}')
    eventually(lambda: curl(live, "http://moves")[0][0] == "alone", "the other pod", 5)
    live.kubectl("delete", "service", "moves")
    eventually(lambda: dns(live, f"moves.{DOMAIN}")[0] == "NXDOMAIN", "no name", 5)


def test_rules_that_are_deleted_by_hand_come_back(live):
    curl(live, "http://web")
    prefix = json.loads((live.data / "cluster.json").read_text())["nft_table"]
    tables = [line.split()[1:] for line in said("nft", "list", "tables").splitlines() if prefix in line]
    assert len(tables) >= 2
    for family, name in tables:
        said("nft", "delete", "table", family, name)
    eventually(lambda: len(curl(live, "http://web", times=5)) == 5, "answers again", 10)
    node_ip = live.pod("client")["status"]["hostIP"]
    assert curl(live, f"http://{node_ip}:18081")[0][0] == "alone"


def test_endpoints_are_shown_in_both_kinds(live):
    live.ready("web-1", "web-2")
    pods = {address(live, "web-1"), address(live, "web-2")}
    subsets = live.found("endpoints", "web")["subsets"]
    assert {one["ip"] for one in subsets[0]["addresses"]} == pods
    slices = live.get("endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
    assert {one["addresses"][0] for part in slices for one in part["endpoints"]} == pods
