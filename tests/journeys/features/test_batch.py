"""Jobs and CronJobs with real containers, and a drain that a disruption budget holds up, all with kubectl."""

import json
import os
import signal
import threading

import pytest

from cluster_builders import eventually
from pod_cluster import FOREVER, container, of_kind

pytestmark = pytest.mark.host

BATCH = "/apis/batch/v1/namespaces/default"
FATAL = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}


def template(shell, labels=None, **spec):
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container("main", shell)],
        **spec,
    }
    return {"metadata": {"labels": labels or {}}, "spec": spec}


def job(name, shell, **spec):
    return of_kind("Job", name, "batch/v1", spec={"template": template(shell), **spec})


def cronjob(name, shell, schedule, **spec):
    made = {"spec": {"template": template(shell)}}
    return of_kind("CronJob", name, "batch/v1", spec={"schedule": schedule, "jobTemplate": made, **spec})


GUARDED = {"app": "guarded"}
MANIFESTS = [
    job("count", "echo done", completions=7, parallelism=3),
    job("indexed", "echo $JOB_COMPLETION_INDEX on $(hostname)", completions=3, parallelism=3, completionMode="Indexed"),
    job("fatal", "exit 42", podFailurePolicy=FATAL, completions=1, backoffLimit=5),
    job("one-index-fails", "test $JOB_COMPLETION_INDEX = 1", completions=2, parallelism=2,
        completionMode="Indexed", backoffLimitPerIndex=0),
    job("first-wins", "test $JOB_COMPLETION_INDEX = 0 || sleep 99", completions=2, parallelism=2,
        completionMode="Indexed", successPolicy={"rules": [{"succeededIndexes": "0"}]}),
    job("too-long", FOREVER, activeDeadlineSeconds=2),
    job("paused", FOREVER, suspend=True),
    job("patient", FOREVER, podReplacementPolicy="Failed"),
    job("short-lived", "true", ttlSecondsAfterFinished=0),
    cronjob("often", "echo tick", "@every 1s"),
    cronjob("never", "echo by hand", "0 0 29 2 *", timeZone="Europe/Berlin"),
    of_kind("Deployment", "guarded", "apps/v1", spec={
        "replicas": 2, "selector": {"matchLabels": GUARDED},
        "template": template(FOREVER, GUARDED, restartPolicy="Always")}),
    of_kind("PodDisruptionBudget", "guard", "policy/v1", spec={
        "minAvailable": 2, "selector": {"matchLabels": GUARDED}}),
]  # fmt: skip


def held(live, plural, name):
    code, body = live.ask(f"{BATCH}/{plural}/{name}")
    return json.loads(body) if code == 200 else None


def complete(live, name, condition="complete"):
    live.kubectl("wait", f"job/{name}", f"--for=condition={condition}", "--timeout=40s")
    return held(live, "jobs", name)["status"]


def conditions(status):
    return {condition["type"]: condition["reason"] for condition in status["conditions"]}


def test_every_pod_of_a_job_is_counted_once(live):
    status = complete(live, "count")
    assert (status["succeeded"], status["uncountedTerminatedPods"]) == (7, {})
    pods = live.get("pods", "-l", "batch.kubernetes.io/job-name=count")["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Succeeded"] * 7
    assert not any(pod["metadata"].get("finalizers") for pod in pods)
    live.event("count", "Completed", "Job completed")


def test_an_index_is_known_inside(live):
    assert complete(live, "indexed")["completedIndexes"] == "0-2"
    said = live.kubectl("logs", "-l", "job-name=indexed", "--tail=-1").split("\n")
    assert sorted(said) == ["", "0 on indexed-0", "1 on indexed-1", "2 on indexed-2"]


def test_an_exit_code_may_end_the_job(live):
    status = complete(live, "fatal", "failed")
    assert (status["failed"], conditions(status)["Failed"]) == (1, "PodFailurePolicy")
    live.event("fatal", "PodFailurePolicy", "failed with exit code 42")


def test_an_index_may_fail_alone(live):
    status = complete(live, "one-index-fails", "failed")
    assert (status["failedIndexes"], status["completedIndexes"]) == ("0", "1")


def test_a_job_that_has_what_it_wanted_ends_the_rest(live):
    status = complete(live, "first-wins")
    assert (status["succeeded"], conditions(status)["Complete"]) == (1, "SuccessPolicy")


def test_a_job_may_take_only_so_long(live):
    assert conditions(complete(live, "too-long", "failed"))["Failed"] == "DeadlineExceeded"


def test_a_job_is_paused_and_resumed(live):
    assert held(live, "jobs", "paused")["status"]["conditions"][0]["type"] == "Suspended"
    for suspend, pods in (("false", 1), ("true", 0)):
        live.kubectl("patch", "job/paused", "-p", f'{{"spec": {{"suspend": {suspend}}}}}')
        eventually(lambda pods=pods: len(live.pods("job-name=paused")) == pods, f"{pods} pods of a job", 20)
    assert "failed" not in held(live, "jobs", "paused")["status"]


def test_a_deleted_pod_is_counted_when_it_has_ended(live):
    (pod,) = eventually(lambda: live.pods("job-name=patient"), "a pod", 20)
    name = live.ready(pod["metadata"]["name"])
    live.kubectl("delete", "pod", name, "--wait=true", "--timeout=20s")
    eventually(lambda: held(live, "jobs", "patient")["status"].get("failed") == 1, "it is counted", 10)


def test_a_finished_job_goes_with_its_pods(live):
    eventually(lambda: held(live, "jobs", "short-lived") is None, "the job goes", 20)
    eventually(lambda: live.pods("job-name=short-lived") == [], "its pods go", 20)


def test_a_cronjob_makes_jobs(live):
    status = eventually(
        lambda: held(live, "cronjobs", "often").get("status", {}).get("lastSuccessfulTime"), "a tick", 30
    )
    assert status
    (made, *_) = [job for job in live.get("jobs")["items"] if job["metadata"]["name"].startswith("often-")]
    assert made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    live.event("often", "SawCompletedJob", "condition: Complete")


def test_a_cronjobs_job_is_made_by_hand(live):
    live.kubectl("create", "job", "by-hand", "--from=cronjob/never")
    assert complete(live, "by-hand")["succeeded"] == 1
    assert live.kubectl("logs", "job/by-hand") == "by hand\n"
    assert "never" in live.kubectl("get", "cronjobs")


def test_no_pod_is_lost_or_run_twice_when_the_server_dies(live):
    live.apply(job("steady", "sleep 0.1", completions=14, parallelism=5))
    eventually(lambda: held(live, "jobs", "steady").get("status", {}).get("succeeded", 0) >= 4, "some have ended")
    os.kill(live.server_pid, signal.SIGKILL)
    live.up()
    assert complete(live, "steady")["succeeded"] == 14
    assert len(live.get("pods", "-l", "job-name=steady")["items"]) == 14


def test_a_drain_waits_for_the_budget(live):
    live.settle("guarded")
    guard = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/guard"
    eventually(lambda: json.loads(live.ask(guard)[1])["status"].get("currentHealthy") == 2, "both are healthy", 10)
    before = {pod["metadata"]["name"] for pod in live.pods("app=guarded")}
    loosen = threading.Timer(2, live.kubectl, ("patch", "pdb/guard", "-p", '{"spec": {"minAvailable": 0}}'))
    loosen.start()
    done = live.try_kubectl("drain", "here", "--pod-selector=app=guarded", "--timeout=40s")
    loosen.join()
    live.kubectl("uncordon", "here")
    assert done.returncode == 0, done.stderr
    assert "Cannot evict pod as it would violate the pod's disruption budget" in done.stderr
    live.settle("guarded")
    assert before.isdisjoint(pod["metadata"]["name"] for pod in live.pods("app=guarded"))
