"""A first hour with kubectl: examples/01-web on a real cluster, with real containers, from `up` to `down --purge`."""

import json
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from cluster_builders import MANIFESTS, TOOLS, eventually, load_on, machine, pids_of

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]
PAGE = "http://127.0.0.1:30080"
SICK = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "sick", "labels": {"app": "sick"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "c",
                "image": TOOLS,
                "command": ["sleep", "1000"],
                "livenessProbe": {"exec": {"command": ["test", "!", "-e", "/tmp/bad"]}, "periodSeconds": 1},
            }
        ],
    },
}


def page(path="/api", data=None):
    with urllib.request.urlopen(PAGE + path, data, timeout=10) as answer:
        return answer.read().decode()


@pytest.fixture
def web(cluster):
    """The example as it comes: two ready web pods, one Redis, the tools."""
    cluster.kubectl("apply", "-f", MANIFESTS)
    cluster.settle("redis", "web")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/tools", "--timeout=60s")
    eventually(lambda: len(cluster.pods("tier=web")) == 2, "two web pods")
    return cluster


def test_up_tells_each_step_in_ten_lines_at_most(cluster):
    assert len(cluster.said.splitlines()) <= 10
    assert "node Ready" in cluster.said
    assert "already" in cluster.up()


def test_both_tiers_become_ready(web):
    rows = web.kubectl("get", "deployments", "--no-headers").split("\n")
    assert [row.split()[:2] for row in rows if row] == [["redis", "1/1"], ["web", "2/2"]]


def test_the_page_is_reached_by_address_by_name_and_by_node_port(web):
    service = web.get("service", "web")["spec"]
    names = (service["clusterIP"], "web", "web.default", "web.default.svc.cluster.local")
    targets = [
        *(f"http://{name}/api" for name in names),
        f"http://{web.pods('tier=web')[0]['status']['podIP']}:8080/api",
    ]
    for target in targets:
        assert json.loads(web.kubectl("exec", "tools", "--", "curl", "-sS", "-m", 10, target))["title"] == "Guest book"
    assert "<h1>Guest book</h1>" in page("/")
    node = web.get("node", "here")["status"]["addresses"][0]["address"]
    with urllib.request.urlopen(f"http://{node}:30080/api", timeout=10) as answer:
        assert answer.status == 200


def test_what_the_page_is_told_is_in_redis(web):
    entry = f"ahoy {time.time()}"
    page("/", urllib.parse.urlencode({"entry": entry}).encode())
    assert json.loads(page())["entries"][0] == entry
    assert entry in web.kubectl("exec", "deployment/redis", "--", "redis-cli", "LRANGE", "entries", "0", "0")


def test_scales_from_two_to_one_to_ten_and_back(web):
    for count in (1, 10, 2):
        web.kubectl("scale", "deployment/web", f"--replicas={count}")
        web.settle("web")
        eventually(lambda: len(web.pods("tier=web")) == count, f"{count} pods")  # noqa: B023
        ready = "jsonpath={.items[*].endpoints[?(@.conditions.ready==true)].addresses[0]}"
        look = ("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", ready)
        eventually(lambda: len(web.kubectl(*look).split()) == count, f"{count} endpoints")  # noqa: B023


@pytest.mark.parametrize("requests", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_request_fails_while_versions_change(web, requests):
    with load_on(PAGE + "/api") as load:
        for number in (2, 1):
            load.reach(load.answers + 100)
            web.kubectl("set", "image", "deployment/web", f"web=localhost/guestbook-web:{number}")
            web.settle("web")
        load.reach(requests)
    assert (load.failures, load.versions) == ([], {"1", "2"})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_a_hundred_thousand_requests_none_fails_while_pods_come_and_go(web):
    """Rolling updates, scaling out and in, and a drain that leaves what a budget keeps."""
    web.kubectl("create", "poddisruptionbudget", "web", "--selector=tier=web", "--min-available=1")
    with load_on(PAGE + "/api") as load:
        while load.answers < 100_000 and not load.failures:
            for number in (2, 1):
                web.kubectl("set", "image", "deployment/web", f"web=localhost/guestbook-web:{number}")
                web.settle("web")
            for count in (6, 2):
                web.kubectl("scale", "deployment/web", f"--replicas={count}")
                web.settle("web")
            drained = web.try_kubectl("drain", "here", "--pod-selector=tier=web", "--ignore-daemonsets", "--timeout=3s")
            assert "violate the pod's disruption budget" in drained.stderr
            web.kubectl("uncordon", "here")
            web.settle("web")
    web.kubectl("delete", "poddisruptionbudget", "web")
    assert load.failures == []


def test_a_broken_image_stops_the_rollout_and_undo_restores_it(web):
    old = {pod["metadata"]["name"] for pod in web.pods("tier=web")}
    web.kubectl("set", "image", "deployment/web", "web=localhost/guestbook-web:none")
    reason = "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}"
    look = ("get", "pods", "-l", "tier=web", "-o", reason)
    eventually(lambda: "ImagePull" in web.kubectl(*look), "the image is missed")
    assert old < {pod["metadata"]["name"] for pod in web.pods("tier=web")}
    assert web.get("deployment", "web")["status"]["availableReplicas"] == 2 and json.loads(page())["version"] == "1"
    web.kubectl("rollout", "undo", "deployment/web")
    web.settle("web")
    eventually(lambda: {pod["metadata"]["name"] for pod in web.pods("tier=web")} == old, "the old pods alone")


def test_a_killed_process_is_started_again(web):
    name, restarts, _, pids = web.runs("tier=web")[0]
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: next(run for run in web.runs("tier=web") if run[0] == name)[1] == restarts + 1, "a restart")
    web.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    status = web.get("pod", name)["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 137


def test_a_deleted_pod_is_replaced(web):
    gone = web.pods("tier=web")[0]["metadata"]["name"]
    web.kubectl("delete", "pod", gone)
    web.settle("web")
    assert gone not in {pod["metadata"]["name"] for pod in web.pods("tier=web")}
    assert web.get("deployment", "web")["status"]["readyReplicas"] == 2


def test_a_failing_liveness_probe_restarts(web):
    web.kubectl("apply", "-f", "-", stdin=json.dumps(SICK))
    web.kubectl("wait", "--for=condition=Ready", "pod/sick", "--timeout=60s")
    web.kubectl("exec", "sick", "--", "touch", "/tmp/bad")
    eventually(lambda: web.runs("app=sick")[0][1] == 1, "a restart")
    web.kubectl("wait", "--for=condition=Ready", "pod/sick", "--timeout=60s")
    told = eventually(lambda: web.kubectl("describe", "pod", "sick").partition("Events:")[2], "events")
    assert "Liveness probe failed" in told and "Killing" in told and "Unhealthy" in told
    web.kubectl("delete", "pod", "sick", "--now")


def test_an_edited_config_map_arrives_without_a_restart(web):
    before = web.runs("tier=web")
    web.kubectl("patch", "configmap", "guestbook", "-p", '{"data":{"title":"Log book"}}')
    eventually(lambda: json.loads(page())["title"] == "Log book", "the new title", 90)
    assert web.runs("tier=web") == before


def test_logs_of_now_and_before(web):
    pod = web.pods("tier=web")[0]["metadata"]["name"]
    following = web.begin("logs", "-f", "--tail=1", "-l", "tier=web", "--max-log-requests=5")
    mark = f"/nowhere-{time.time()}"
    eventually(lambda: web.try_kubectl("exec", "tools", "--", "curl", "-sS", f"http://web{mark}").stdout, "a page")
    assert any(mark in line for line in iter(following.stdout.readline, ""))
    assert "listens on 8080" in web.kubectl("logs", pod)
    last = web.kubectl("logs", pod, "--timestamps", "--tail=1", "--since=1h")
    assert last.startswith("20") and last.count("\n") <= 1
    web.kubectl("exec", pod, "--", "sh", "-c", "kill 1")
    eventually(lambda: "stopped" in web.try_kubectl("logs", pod, "--previous").stdout, "the log before")


def test_exec_has_input_output_and_exit_code(web):
    assert web.kubectl("exec", "-i", "tools", "--", "cat", stdin="line\n" * 1000) == "line\n" * 1000
    assert web.try_kubectl("exec", "tools", "--", "sh", "-c", "exit 7").returncode == 7
    missing = web.try_kubectl("exec", "tools", "--", "no-such-program")
    assert missing.returncode != 0 and "no-such-program" in missing.stderr


def test_files_are_copied_in_and_out(web):
    (web.root / "there").mkdir(exist_ok=True)
    (web.root / "there" / "file").write_bytes(content := os.urandom(300_000))
    web.kubectl("cp", web.root / "there", "tools:/tmp/here")
    web.kubectl("cp", "tools:/tmp/here/file", web.root / "back")
    assert (web.root / "back").read_bytes() == content


@pytest.mark.parametrize("target", ["service/web", "deployment/web"])
def test_a_port_is_forwarded(web, target):
    forwarding = web.begin("port-forward", target, f":{80 if target.startswith('service') else 8080}")
    line = forwarding.stdout.readline()
    assert "Forwarding from 127.0.0.1:" in line, line
    with urllib.request.urlopen(f"http://{line.split()[2]}/api", timeout=10) as answer:
        assert json.load(answer)["title"]


def test_describe_explain_diff_and_wide_columns_tell_what_is(web):
    pod = web.pods("tier=web")[0]["metadata"]["name"]
    described = web.kubectl("describe", "pod", pod)
    assert "Controlled By:  ReplicaSet/web" in described and "Started" in described.partition("Events:")[2]
    assert "10." in web.kubectl("describe", "service", "web").partition("Endpoints:")[2].splitlines()[0]
    assert "NewReplicaSet:   web-" in web.kubectl("describe", "deployment", "web")
    assert "Non-terminated Pods:          (4 in total)" in web.kubectl("describe", "node", "here")
    assert "maxSurge" in web.kubectl("explain", "deployment.spec.strategy.rollingUpdate")
    assert web.kubectl("diff", "-f", MANIFESTS) == ""
    changed = (MANIFESTS / "3-web.yaml").read_text().replace("replicas: 2", "replicas: 3")
    differs = web.try_kubectl("diff", "-f", "-", stdin=changed)
    assert differs.returncode == 1 and "+  replicas: 3" in differs.stdout
    assert web.pods("tier=web")[0]["status"]["podIP"] in web.kubectl("get", "pods", "-o", "wide")


def test_the_server_is_killed_and_nothing_is_lost(web):
    before = web.runs("app=guestbook")
    with load_on(PAGE + "/api") as load:
        web.kubectl("create", "configmap", "kept", "--from-literal=a=1")
        os.kill(web.server_pid, signal.SIGKILL)
        load.reach(load.answers + 200)
        web.up()
        web.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s")
        load.reach(load.answers + 200)
    assert load.failures == []
    assert web.get("configmap", "kept")["data"] == {"a": "1"}
    assert web.runs("app=guestbook") == before
    web.kubectl("delete", "configmap", "kept")


def test_the_server_is_killed_in_the_middle_of_a_rollout(web):
    with load_on(PAGE + "/api") as load:
        web.kubectl("set", "image", "deployment/web", "web=localhost/guestbook-web:2")
        os.kill(web.server_pid, signal.SIGKILL)
        web.up()
        web.settle("web")
        eventually(lambda: len(web.pods("tier=web")) == 2, "two pods")
        load.reach(load.answers + 100)
    assert load.failures == [] and json.loads(page())["version"] == "2"
    assert [run[1] for run in web.runs("tier=web")] == [0, 0]


def test_a_deployment_without_a_file(web):
    web.kubectl("create", "deployment", "hello", f"--image={TOOLS}", "--replicas=2")
    web.kubectl("expose", "deployment", "hello", "--port=80", "--target-port=8080")
    web.settle("hello")
    web.kubectl("set", "env", "deployment/hello", "GREETING=hello")
    web.kubectl("label", "deployment/hello", "tier=front")
    web.kubectl("annotate", "deployment/hello", "kubernetes.io/change-cause=greeting")
    web.kubectl("rollout", "restart", "deployment/hello")
    web.settle("hello")
    assert "3" in web.kubectl("rollout", "history", "deployment/hello").splitlines()[-2]
    assert web.kubectl("exec", "deployment/hello", "--", "sh", "-c", "echo $GREETING") == "hello\n"
    web.kubectl("delete", "deployment,service", "hello", "--now")
    eventually(lambda: web.get("pods", "-l", "app=hello")["items"] == [], "its pods are gone")


def test_one_off_pods_and_a_debugger(web):
    run = ("run", "once", f"--image={TOOLS}", "--restart=Never", "--rm", "-i", "--quiet", "--command", "--")
    assert "over the sea" in web.kubectl(*run, "sh", "-c", "read line; echo over $line", stdin="the sea\n")
    pod = web.pods("tier=web")[0]["metadata"]["name"]
    debug = ("debug", pod, "-i", f"--image={TOOLS}", "--quiet", "--", "sh", "-c", "read line; hostname")
    assert pod in web.kubectl(*debug, stdin="x\n")


def test_the_node_is_drained_and_used_again(web):
    web.kubectl("drain", "here", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")
    assert "SchedulingDisabled" in web.kubectl("get", "nodes")
    eventually(lambda: "didn't" in (told := web.kubectl("get", "events")) or "unschedulable" in told, "pods wait")
    web.kubectl("uncordon", "here")
    web.settle("redis", "web")


def test_questions_that_a_first_hour_asks(web):
    for words in (
        "version",
        "cluster-info",
        "api-resources",
        "api-versions",
        "get all -A",
        "get events --sort-by=.lastTimestamp",
        "events",
        "config view",
        "auth can-i create pods",
        "auth whoami",
        "create token default",
        "get --raw /readyz?verbose",
        "get pods --show-labels --sort-by=.metadata.name",
        "get pods -o custom-columns=N:.metadata.name,IP:.status.podIP",
        "get cm guestbook -o yaml",
        "rollout history deployment/web",
        "set resources deployment/web --limits=memory=100Mi --dry-run=server -o yaml",
        "create deployment d --image=i --dry-run=client -o yaml",
        "top --help",
    ):
        assert web.kubectl(*words.split()), words


def test_a_namespace_and_everything_in_it_goes(web):
    web.kubectl("create", "namespace", "side")
    web.kubectl("run", "p", "-n", "side", f"--image={TOOLS}")
    web.kubectl("wait", "-n", "side", "--for=condition=Ready", "pod/p", "--timeout=60s")
    [status] = web.get("pod", "p", "-n", "side")["status"]["containerStatuses"]
    web.kubectl("delete", "namespace", "side", "--timeout=60s")
    assert pids_of(status["containerID"].partition("//")[2]) == []


def test_down_and_up_again_is_like_a_reboot(web):
    web.kubectl("create", "configmap", "stays", "--from-literal=a=1")
    assert "containers ended" in web.down()
    assert subprocess.run(["pgrep", "-f", str(web.data)], capture_output=True).stdout == b""
    web.up()
    web.settle("redis", "web")
    web.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s")
    assert json.loads(page())["version"] and web.get("configmap", "stays")


def test_everything_that_was_applied_is_deleted(web):
    web.kubectl("delete", "-f", MANIFESTS)
    eventually(lambda: web.get("pods")["items"] == [], "no pods")
    with pytest.raises(OSError):
        page()


def test_down_with_purge_leaves_the_machine_as_it_was(cluster):
    cluster.down("--purge")
    left = machine(cluster)
    assert (sorted(left - cluster.before), sorted(cluster.before - left)) == ([], [])
    assert not cluster.data.exists() and not cluster.images.exists()
    listed = subprocess.run(["pgrep", "-fa", str(cluster.data)], capture_output=True, text=True)
    assert listed.stdout == ""
