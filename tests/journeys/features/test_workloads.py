"""StatefulSets, DaemonSets and ReplicationControllers with real containers: kubectl scales, rolls and rolls back."""

import json
import os
import signal

import pytest

from cluster_builders import eventually
from pod_cluster import container, of_kind, pod

pytestmark = pytest.mark.host

HTTP = "exec python3 /tool.py http 8080"
READY = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}


def template(app, shell=HTTP, **spec):
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container("main", shell, readinessProbe=READY)], **spec}
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def workload(kind, app, **spec):
    selector = {"selector": {"matchLabels": {"app": app}}, "template": template(app)}
    return of_kind(kind, app, "apps/v1", spec={**selector, **spec})


def headless(app):
    ports = [{"name": "web", "port": 8080}]
    return of_kind("Service", app, spec={"clusterIP": "None", "selector": {"app": app}, "ports": ports})


MANIFESTS = [
    headless("db"),
    workload("StatefulSet", "db", replicas=2, serviceName="db"),
    workload("StatefulSet", "shard", replicas=3, serviceName="db", podManagementPolicy="Parallel"),
    workload("DaemonSet", "log"),
    of_kind("ReplicationController", "old", spec={"replicas": 2, "template": template("old")}),
    pod("client"),
]


def names(live, app):
    return sorted(one["metadata"]["name"] for one in live.pods(f"app={app}"))


def settles(live, app, *wanted):
    eventually(lambda: names(live, app) == list(wanted), f"the pods of {app} are {wanted}", 25)


def change(live, kind, app, word):
    """Another template, by which a rollout begins, and its end."""
    live.kubectl("set", "env", f"{kind}/{app}", f"WORD={word}")
    live.kubectl("rollout", "status", f"{kind}/{app}", "--timeout=40s")


def words(live, app):
    """What the environment of each pod of it says."""
    environments = [one["spec"]["containers"][0].get("env", []) for one in live.pods(f"app={app}")]
    return {one["value"] for each in environments for one in each}


def test_a_stateful_pod_has_a_name_that_stays_and_is_found_by_it(live):
    live.kubectl("rollout", "status", "statefulset/db", "--timeout=40s")
    assert live.run("db-1", "hostname") == "db-1\n"
    before = live.pod("db-0")["metadata"]["uid"]
    live.kubectl("delete", "pod", "db-0")
    eventually(lambda: (live.pod("db-0") or {"metadata": {"uid": before}})["metadata"]["uid"] != before, "db-0 is back")
    live.ready("db-0")
    answer = eventually(
        lambda: live.try_kubectl("exec", "client", "--", "curl", "-s", "http://db-0.db:8080/").stdout,
        "it answers by name",
    )
    assert answer.startswith("db-0 ")


def test_a_stateful_set_scales_rolls_and_rolls_back(live):
    live.kubectl("scale", "statefulset/db", "--replicas=3")
    settles(live, "db", "db-0", "db-1", "db-2")
    change(live, "statefulset", "db", "one")
    change(live, "statefulset", "db", "two")
    assert live.kubectl("rollout", "history", "statefulset/db").count("<none>") == 3
    live.kubectl("rollout", "undo", "statefulset/db")
    live.kubectl("rollout", "status", "statefulset/db", "--timeout=40s")
    assert words(live, "db") == {"one"}
    live.kubectl("scale", "statefulset/db", "--replicas=1")
    settles(live, "db", "db-0")


def test_a_parallel_set_starts_at_once_and_a_partition_holds_a_rollout(live):
    settles(live, "shard", "shard-0", "shard-1", "shard-2")
    live.ready("shard-0", "shard-1", "shard-2")
    partition = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 2}}}}
    live.kubectl("patch", "statefulset/shard", "-p", json.dumps(partition))
    change(live, "statefulset", "shard", "new")
    told = live.get("statefulset", "shard")["status"]
    assert (told["updatedReplicas"], told["currentReplicas"]) == (1, 2)
    assert [len(one["spec"]["containers"][0].get("env", ())) for one in live.pods("app=shard")] == [0, 0, 1]


def test_a_daemon_runs_on_the_node_rolls_and_rolls_back(live):
    live.kubectl("rollout", "status", "daemonset/log", "--timeout=40s")
    change(live, "daemonset", "log", "one")
    change(live, "daemonset", "log", "two")
    live.kubectl("rollout", "undo", "daemonset/log", "--to-revision=2")
    live.kubectl("rollout", "status", "daemonset/log", "--timeout=40s")
    assert words(live, "log") == {"one"}
    told = live.get("daemonset", "log")["status"]
    assert (told["desiredNumberScheduled"], told["numberAvailable"]) == (1, 1)


def test_a_daemon_leaves_a_node_that_does_not_suit_any_more(live):
    live.kubectl(
        "patch", "daemonset/log", "-p", json.dumps({"spec": {"template": {"spec": {"nodeSelector": {"log": "yes"}}}}})
    )
    settles(live, "log")
    live.kubectl("label", "node", "here", "log=yes")
    eventually(lambda: len(names(live, "log")) == 1, "the daemon is back")


def test_a_replication_controller_keeps_its_number(live):
    eventually(lambda: len(names(live, "old")) == 2, "two pods")
    live.kubectl("scale", "rc/old", "--replicas=1")
    eventually(lambda: len(names(live, "old")) == 1, "one pod")
    live.kubectl("delete", "rc/old")
    settles(live, "old")


def test_no_two_pods_have_one_identity_also_when_the_server_dies_in_the_middle_of_a_rollout(live):
    story = live.root / "story"
    story.touch()
    shell = (
        'say() { echo "$1 $(hostname) $POD_UID" >> /story; }; say begins; trap "say ends; exit" TERM; sleep 999 & wait'
    )
    uid = {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    main = container("main", shell, env=[uid], volumeMounts=[{"name": "story", "mountPath": "/story"}])
    volumes = [{"name": "story", "hostPath": {"path": str(story), "type": "File"}}]
    lone = workload("StatefulSet", "lone", replicas=3, podManagementPolicy="Parallel")
    lone["spec"]["template"] = template("lone", containers=[main], volumes=volumes)
    live.apply(lone)
    live.kubectl("rollout", "status", "statefulset/lone", "--timeout=40s")
    live.kubectl("set", "env", "statefulset/lone", "WORD=new")
    eventually(lambda: "ends" in story.read_text(), "the rollout has begun")
    os.kill(live.server_pid, signal.SIGKILL)
    live.up()
    live.kubectl("rollout", "status", "statefulset/lone", "--timeout=60s")
    live.kubectl("delete", "statefulset/lone")
    settles(live, "lone")
    eventually(lambda: story.read_text().count("ends") == 6, f"all have ended: {story.read_text()}")
    alive = {}
    for what, name, pod_uid in map(str.split, story.read_text().splitlines()):
        if what == "begins":
            assert name not in alive, f"{name} runs twice"
            alive[name] = pod_uid
        else:
            assert alive.pop(name) == pod_uid
