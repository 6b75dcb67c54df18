"""kubectl, also the oldest and the newest that this machine has: what a first week with a cluster types."""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

NEWEST = shutil.which("kubectl")
BESIDE = sorted(map(str, Path(NEWEST).resolve().parent.glob("kubectl.1.*"))) if NEWEST else []
OLD_AND_NEW = list(dict.fromkeys([NEWEST, *BESIDE[:1], *BESIDE[-1:]]))
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "r.test/web:1"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {k: v}
"""
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "status": {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2999-01-01T00:00:00Z"}],
    },
}
# What a kubectl says that does not know a command yet, or only a version of a kind that Kubernetes no longer serves.
TOO_OLD = ("unknown command", "unknown flag", "unrecognized condition", "v1beta1", "find the requested resource")
numbers = itertools.count(1)

pytestmark = pytest.mark.skipif(NEWEST is None, reason="no kubectl on this machine")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """What kubectl learned of the API, so that each call need not ask again."""
    return tmp_path_factory.mktemp("kubectl")


@pytest.fixture
def program():
    return NEWEST


@pytest.fixture
def ask(server, cache, namespace, program):
    """Run kubectl in the namespace; gives its exit code, output and errors."""

    def run(*words, stdin="", editor="true"):
        command = [program, words[0], "--cache-dir", str(cache), "-n", namespace, *words[1:]]
        environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "KUBE_EDITOR": editor}
        done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, timeout=30)
        if any(sign in done.stderr for sign in TOO_OLD):
            pytest.skip(f"{program} is too old for {' '.join(words)}")
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def kubectl(ask):
    """Run kubectl, which must succeed; gives its output."""

    def run(*words, **more):
        code, out, err = ask(*words, **more)
        assert code == 0, (words, out, err)
        return out

    return run


@pytest.fixture
def refused(ask):
    """Run kubectl, which must fail; gives what it said."""

    def run(*words, **more):
        code, out, err = ask(*words, **more)
        assert code != 0, (words, out)
        return err.strip()

    return run


@pytest.mark.parametrize("program", OLD_AND_NEW, ids=lambda path: Path(path or "none").name)
def test_an_old_and_a_new_kubectl_apply_look_and_delete(kubectl, refused):
    assert kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web created\nconfigmap/conf created\n"
    assert kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web unchanged\nconfigmap/conf unchanged\n"
    assert kubectl("get", "deploy", "web").split()[:5] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert "VERSION:" in kubectl("explain", "deployment.spec.strategy")
    assert "Replicas:" in kubectl("describe", "deploy", "web")
    kubectl("create", "configmap", "other", "--from-literal=a=b")
    kubectl("patch", "cm", "other", "-p", '{"data":{"a":"c"}}')
    assert kubectl("get", "cm", "other", "-o", "jsonpath={.data.a}") == "c"
    kubectl("delete", "-f", "-", stdin=WEB)
    assert refused("get", "cm", "conf") == 'Error from server (NotFound): configmaps "conf" not found'


def test_resources_and_explanations_come_from_discovery_and_schema(kubectl, refused):
    lines = kubectl("api-resources", "--api-group=apps", "--no-headers").splitlines()
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in [line.split() for line in lines]
    assert "rollingUpdate" in kubectl("explain", "deployment.spec.strategy", "--recursive")
    assert "autoscaling/v2" in kubectl("api-versions")
    assert 'field "nothing" does not exist' in refused("explain", "pod.nothing")
    assert refused("get", "nothing") == 'error: the server doesn\'t have a resource type "nothing"'


def test_diff_shows_what_apply_would_do(kubectl, ask):
    kubectl("apply", "-f", "-", stdin=WEB)
    assert ask("diff", "-f", "-", stdin=WEB)[0] == 0
    changed = WEB.replace("web:1", "web:2")
    code, out, _ = ask("diff", "-f", "-", stdin=changed)
    assert code == 1 and "-      - image: r.test/web:1" in out and "+      - image: r.test/web:2" in out
    assert "web configured (server dry run)" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed)
    assert "web configured" in kubectl("apply", "-f", "-", stdin=changed)


def test_applying_on_the_server_keeps_others_fields_unless_forced(kubectl, refused):
    kubectl("apply", "--server-side", "-f", "-", stdin=WEB)
    changed = WEB.replace("k: v", "k: w")
    said = refused("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=changed)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.k' in said
    kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=changed)
    assert kubectl("get", "cm", "conf", "-o", "jsonpath={.data.k}") == "w"


def test_a_client_side_apply_can_become_a_server_side_one(kubectl):
    kubectl("apply", "-f", "-", stdin=WEB)
    out = kubectl("apply", "--server-side", "-f", "-", stdin=WEB.replace("web:1", "web:2"))
    assert out.splitlines() == ["deployment.apps/web serverside-applied", "configmap/conf serverside-applied"]


def test_pruning_takes_what_the_files_no_longer_hold(kubectl, refused):
    labelled = WEB.replace("{name: conf}", "{name: conf, labels: {set: one}}")
    prune = ("apply", "--prune", "-l", "set=one", "-f", "-")
    kubectl(*prune, stdin=labelled)
    kubectl(*prune, stdin=labelled.replace("name: conf", "name: next"))
    assert "not found" in refused("get", "cm", "conf")


CREATED = [
    ("configmap", "a", "--from-literal=k=v"),
    ("secret", "generic", "a", "--from-literal=k=v"),
    ("secret", "docker-registry", "b", "--docker-server=r", "--docker-username=u", "--docker-password=p"),
    ("deployment", "a", "--image=r.test/x", "--replicas=2", "--port=80"),
    ("job", "a", "--image=r.test/x"),
    ("cronjob", "a", "--image=r.test/x", "--schedule=* * * * *"),
    ("ingress", "a", "--rule=example.test/=web:80"),
    ("role", "a", "--verb=get", "--resource=pods"),
    ("rolebinding", "a", "--role=a", "--serviceaccount=default:default"),
    ("quota", "a", "--hard=pods=10"),
    ("poddisruptionbudget", "a", "--selector=app=web", "--min-available=1"),
    ("serviceaccount", "a"),
    ("service", "clusterip", "a", "--tcp=80:80"),
    ("service", "nodeport", "b", "--tcp=80:80"),
    ("service", "externalname", "c", "--external-name=example.test"),
]


@pytest.mark.parametrize("words", CREATED, ids=lambda words: " ".join(words[:2]))
def test_everything_can_be_created_by_words(kubectl, words):
    assert kubectl("create", *words).endswith(" created\n")


def test_a_pod_is_run_exposed_and_read_in_every_form(kubectl):
    kubectl("run", "p", "--image=r.test/x", "--port=80", "--labels=app=p")
    kubectl("expose", "pod", "p", "--port=80")
    assert kubectl("get", "pod", "p", "-o", "name") == "pod/p\n"
    assert json.loads(kubectl("get", "pod", "p", "-o", "json"))["spec"]["containers"][0]["image"] == "r.test/x"
    assert "  - image: r.test/x" in kubectl("get", "pod", "p", "-o", "yaml")
    assert "NOMINATED NODE" in kubectl("get", "pod", "p", "-o", "wide")
    assert kubectl("get", "pod", "-o", "jsonpath={.items[*].metadata.name}") == "p"
    assert kubectl("get", "pod", "-o", "custom-columns=N:.metadata.name,P:.status.phase").split()[2:] == [
        "p",
        "Pending",
    ]
    assert kubectl("get", "pod", "-o", "go-template={{len .items}}") == "1"
    assert "app=p" in kubectl("get", "pod", "--show-labels", "--sort-by=.metadata.name")
    assert kubectl("get", "pod", "-l", "app!=p") == ""


def test_labels_annotations_patches_and_edits_change_an_object(kubectl, ask, refused):
    kubectl("create", "configmap", "a", "--from-literal=k=v")
    kubectl("label", "cm", "a", "tier=web")
    assert "--overwrite is false" in refused("label", "cm", "a", "tier=db")
    kubectl("label", "cm", "a", "tier=db", "--overwrite")
    kubectl("annotate", "cm", "a", "note=hi")
    kubectl("patch", "cm", "a", "--type=merge", "-p", '{"data":{"x":"y"}}')
    kubectl("patch", "cm", "a", "--type=json", "-p", '[{"op":"remove","path":"/data/x"}]')
    assert "no changes made" in "".join(ask("edit", "cm", "a")[1:])
    kubectl("edit", "cm", "a", editor="sed -i s/k:.v/k:\\ w/")
    found = json.loads(kubectl("get", "cm", "a", "-o", "json"))
    assert (found["data"], found["metadata"]["labels"]) == ({"k": "w"}, {"tier": "db"})


def test_a_watch_goes_on_telling(server, cache, namespace, kubectl):
    command = [NEWEST, "get", "cm", "-w", "-o", "name", "--cache-dir", str(cache), "-n", namespace]
    environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout.readline() == "configmap/kube-root-ca.crt\n"
        kubectl("create", "configmap", "a")
        assert watching.stdout.readline() == "configmap/a\n"
        watching.terminate()


def test_a_rollout_has_a_history_and_can_be_undone(kubectl, refused, until):
    def image(revision):
        return f"r.test/web:{revision}" in kubectl("rollout", "history", "deploy/web", f"--revision={revision}")

    kubectl("apply", "-f", "-", stdin=WEB)
    until(lambda: "\n1 " in kubectl("rollout", "history", "deploy/web"))
    kubectl("set", "image", "deploy/web", "c=r.test/web:2")
    until(lambda: "\n2 " in kubectl("rollout", "history", "deploy/web"))
    assert image(1) and image(2)
    kubectl("rollout", "pause", "deploy/web")
    kubectl("rollout", "resume", "deploy/web")
    kubectl("rollout", "undo", "deploy/web")
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={..image}") == "r.test/web:1"
    kubectl("rollout", "restart", "deploy/web")
    assert "timed out" in refused("rollout", "status", "deploy/web", "--timeout=1s")


def test_scaling_and_setting(kubectl, refused):
    kubectl("create", "deployment", "web", "--image=r.test/x")
    kubectl("scale", "deploy", "web", "--replicas=2")
    assert "Expected replicas to be 9, was 2" in refused("scale", "deploy/web", "--replicas=1", "--current-replicas=9")
    kubectl("autoscale", "deploy", "web", "--min=1", "--max=3")
    kubectl("set", "env", "deploy/web", "A=B")
    kubectl("set", "resources", "deploy/web", "--limits=cpu=100m")
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={..limits.cpu} {..env[0].value}") == "100m B"


def test_waiting_ends_with_what_is_waited_for(kubectl, refused):
    kubectl("create", "deployment", "web", "--image=r.test/x")
    assert "condition met" in kubectl("wait", "deploy/web", "--for=condition=Progressing", "--timeout=5s")
    assert "timed out" in refused("wait", "deploy/web", "--for=condition=Available", "--timeout=1s")
    assert "condition met" in kubectl("wait", "deploy/web", "--for=jsonpath={.metadata.name}=web", "--timeout=5s")


def test_deleting_leaves_or_takes_the_dependents(kubectl, until):
    kubectl("create", "deployment", "web", "--image=r.test/x")
    until(lambda: kubectl("get", "pods", "-o", "name"))
    kubectl("delete", "deploy", "web", "--cascade=orphan")
    assert kubectl("get", "rs", "-o", "name").startswith("replicaset.apps/web-")
    kubectl("delete", "rs", "--all", "--cascade=foreground")
    until(lambda: kubectl("get", "pods", "-o", "name") == "")


def test_who_may_do_what(kubectl, ask, namespace):
    robot = f"--as=system:serviceaccount:{namespace}:default"
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert ask("auth", "can-i", "create", "pods", robot)[:2] == (1, "no\n")
    rows = [line.split() for line in kubectl("auth", "can-i", "--list").splitlines()]
    assert ["*.*", "[]", "[]", "[*]"] in rows and rows.count(["[*]", "[]", "[*]"]) == 1
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:default")
    assert kubectl("auth", "can-i", "list", "pods", robot) == "yes\n"
    assert "pods" in kubectl("auth", "can-i", "--list", robot)


def test_a_token_opens_what_its_account_may(kubectl, refused, server, namespace):
    token = kubectl("create", "token", "default", "--duration=10m").strip()
    robot = ("--kubeconfig=/dev/null", "--insecure-skip-tls-verify", "--server", server.url, "--token", token)
    said = refused("get", "secrets", *robot)
    assert f'"system:serviceaccount:{namespace}:default" cannot list resource "secrets"' in said
    assert kubectl("auth", "can-i", "create", "selfsubjectreviews.authentication.k8s.io", *robot) == "yes\n"


@pytest.fixture
def node(core):
    """A node that is only an object."""
    name = f"node-{next(numbers)}"
    core.create_node({**NODE, "metadata": {"name": name, "labels": {"node": name}}})
    yield name
    core.delete_node(name)


def test_a_node_is_cordoned_tainted_and_drained(kubectl, node, until):
    kubectl("taint", "node", node, "k=v:NoSchedule")
    kubectl("taint", "node", node, "k-")
    kubectl("run", "p", "--image=r.test/x", f'--overrides={{"spec":{{"nodeSelector":{{"node":"{node}"}}}}}}')
    until(lambda: kubectl("get", "pod", "p", "-o", "jsonpath={.spec.nodeName}") == node)
    assert kubectl("get", "node", node, "--no-headers").split()[:3] == [node, "Ready", "<none>"]
    kubectl("cordon", node)
    assert "SchedulingDisabled" in kubectl("get", "node", node)
    kubectl("uncordon", node)
    out = kubectl("drain", node, "--force", "--ignore-daemonsets", "--grace-period=0", "--timeout=10s")
    assert "pod/p evicted" in out
    assert "Unschedulable:      true" in kubectl("describe", "node", node)


def test_events_tell_the_story(kubectl, until):
    kubectl("create", "deployment", "web", "--image=r.test/x")
    until(lambda: "FailedScheduling" in kubectl("get", "events"))
    out = kubectl("get", "events", "--sort-by=.lastTimestamp", "--field-selector=reason=ScalingReplicaSet")
    assert "Scaled up replica set" in out
    assert "Scaled up replica set" in kubectl("describe", "deploy", "web")
    assert "SuccessfulCreate" in kubectl("events")


def test_completion_knows_names(kubectl):
    kubectl("create", "configmap", "a-long-name")
    names = kubectl("__complete", "get", "cm", "a-")
    if names == ":0\n":
        pytest.skip(f"{NEWEST} leaves completion to the shell")
    assert "a-long-name" in names
    assert "deployments.apps" in kubectl("__complete", "get", "depl")


def test_what_needs_a_node_says_so(kubectl, refused):
    kubectl("run", "p", "--image=r.test/x")
    assert kubectl("logs", "p") == ""
    assert refused("exec", "p", "--", "true").endswith("pod p does not have a host assigned")
    assert "not found" in refused("logs", "none")
    assert "metrics not available yet" in refused("top", "pods")
