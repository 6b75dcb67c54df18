"""How pods begin, are watched over, and end: init containers, probes, hooks, restarts, grace."""

import time

import pytest

from cluster_builders import eventually
from pod_cluster import FOREVER, container, mounted, pod

pytestmark = pytest.mark.host

EMPTY = {"emptyDir": {}}
NOTES = [{"name": "v", "mountPath": "/v"}]
HTTP = "exec python3 /tool.py http 8080"
PATIENT = {"periodSeconds": 1, "failureThreshold": 30}
STRICT = {"periodSeconds": 1, "failureThreshold": 1}


def noting(name, shell, **fields):
    """A container that shares /v/notes with the others."""
    return container(name, shell, volumeMounts=NOTES, **fields)


def sidecar(name):
    shell = f"echo +{name} | tee -a /v/notes; trap 'echo -{name}; exit' TERM; sleep 999 & wait"
    return noting(name, shell, restartPolicy="Always", startupProbe={**file("/v/notes"), **PATIENT})


def always(name, shell, **more):
    return pod(name, shell, restartPolicy="Always", **more)


def probed(name, shell, **probes):
    return always(name, shell, main=probes)


def file(path):
    return {"exec": {"command": ["test", "-e", path]}}


MANIFESTS = [
    pod("in-order", "echo main >> /v/notes; cat /v/notes", **mounted(EMPTY), initContainers=[
        noting("first", "sleep 0.3; echo first >> /v/notes"), noting("second", "echo second >> /v/notes")]),
    pod("bad-init", "echo never", initContainers=[container("breaks", "exit 3"), container("later", "true")]),
    always("retries-init", "echo never", initContainers=[container("breaks", "exit 3")]),
    pod("sidecars", "cat /v/notes", **mounted(EMPTY), initContainers=[
        sidecar("one"), noting("init", "echo init >> /v/notes"), sidecar("two")]),
    pod("sidecar-order", "echo main", terminationGracePeriodSeconds=9, **mounted(EMPTY), initContainers=[
        sidecar("one"), sidecar("two")]),
    pod("never", "exit 4"),
    pod("on-failure", "test -e /v/again && exit; touch /v/again; exit 1", restartPolicy="OnFailure", **mounted(EMPTY)),
    always("always", "sleep 0.2"),
    always("crashes", "echo run; exit 1"),
    pod("no-program", main={"command": ["/does/not/exist"]}),
    probed("ready-by-exec", FOREVER, readinessProbe={**file("/tmp/ok"), **PATIENT}),
    probed("ready-by-http", HTTP, readinessProbe={"httpGet": {"path": "/file/tmp/ok", "port": 8080}, **PATIENT}),
    probed("ready-by-tcp", f"sleep 1; {HTTP}", readinessProbe={"tcpSocket": {"port": 8080}, **PATIENT}),
    probed("ready-by-grpc", "exec python3 /tool.py grpc 9000", readinessProbe={"grpc": {"port": 9000}, **PATIENT}),
    probed("ready-by-name", HTTP, ports=[{"name": "web", "containerPort": 8080}], readinessProbe={
        "httpGet": {"path": "/status/204", "port": "web", "httpHeaders": [{"name": "X", "value": "1"}]}, **PATIENT}),
    probed("dies", f"touch /tmp/ok; (sleep 1; rm /tmp/ok) & {FOREVER}", livenessProbe={**file("/tmp/ok"), **STRICT}),
    probed("sick-http", HTTP, startupProbe={"tcpSocket": {"port": 8080}, **PATIENT}, livenessProbe={
        "httpGet": {"path": "/status/500", "port": 8080}, **STRICT}),
    probed("slow-start", f"sleep 2; touch /tmp/up; {FOREVER}", startupProbe={**file("/tmp/up"), **PATIENT},
           livenessProbe={**file("/tmp/up"), **STRICT}, readinessProbe={**file("/tmp/up"), **PATIENT}),
    probed("never-starts", FOREVER, startupProbe={**file("/tmp/up"), "periodSeconds": 1, "failureThreshold": 2}),
    pod("hooked", f"until [ -s /tmp/hook ]; do sleep 0.1; done; cat /tmp/hook; {FOREVER}", main={
        "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo began > /tmp/hook"]}}}}),
    pod("bad-hook", main={"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo oh; exit 5"]}}}}),
    pod("says-goodbye", "trap 'echo term; exit 0' TERM; sleep 999 & wait", terminationGracePeriodSeconds=10, main={
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "sleep 0.5; echo stopping > /proc/1/fd/1"]}}}}),
    pod("forced", "trap '' TERM; while :; do sleep 1; done", terminationGracePeriodSeconds=30),
    pod("sleepy", terminationGracePeriodSeconds=10, main={"lifecycle": {"preStop": {"sleep": {"seconds": 2}}}}),
    pod("stubborn", "trap '' TERM; while :; do sleep 1; done", terminationGracePeriodSeconds=2),
    pod("last-words", "echo done well > /dev/termination-log"),
    pod("own-path", "echo elsewhere > /tmp/last; exit 2", main={"terminationMessagePath": "/tmp/last"}),
    pod("from-log", "echo one; echo two; exit 3", main={"terminationMessagePolicy": "FallbackToLogsOnError"}),
    pod("no-fallback", "echo one", main={"terminationMessagePolicy": "FallbackToLogsOnError"}),
    pod("too-long", activeDeadlineSeconds=1),
    pod("succeeds", "true"),
    pod("two-ends", containers=[container("main", "true"), container("other", "exit 1")]),
    pod("gated", schedulingGates=[{"name": "example.com/wait"}]),
    pod("port-1", main={"ports": [{"containerPort": 80, "hostPort": 18080}]}),
    pod("too-big", main={"resources": {"requests": {"cpu": "900"}}}),
    pod("picky", nodeSelector={"disk": "none"}),
]  # fmt: skip


def restarts(live, name):
    return live.status(name).get("restartCount", 0)


def test_init_containers_run_one_after_another_and_first(live):
    assert live.told("in-order") == "first\nsecond\nmain\n"
    assert live.condition("in-order", "Initialized")["status"] == "True"


def test_a_failing_init_container_fails_a_pod_that_never_restarts(live):
    live.ended("bad-init", "breaks")
    eventually(lambda: live.pod("bad-init")["status"]["phase"] == "Failed", "the failure", 10)
    assert live.state("bad-init")[1]["reason"] == "PodInitializing"
    assert "Init:Error" in live.kubectl("get", "pod", "bad-init")


def test_a_failing_init_container_is_tried_again_otherwise(live):
    eventually(lambda: live.status("retries-init", "breaks").get("restartCount", 0) >= 1, "a second try", 15)
    eventually(lambda: "Init:" in live.kubectl("get", "pod", "retries-init"), "the column", 5)
    assert live.state("retries-init")[0] == "waiting"


def test_sidecars_start_in_order_beside_the_init_containers(live):
    assert live.told("sidecars") == "+one\ninit\n+two\n"
    eventually(lambda: live.pod("sidecars")["status"]["phase"] == "Succeeded", "the end", 10)


def test_sidecars_stop_after_the_others_in_reverse(live):
    live.ended("sidecar-order", "one")
    logs = [live.log("sidecar-order", name, timestamps="true") for name in ("one", "two", "main")]
    lines = sorted("".join(logs).splitlines())
    assert [line.split()[1] for line in lines] == ["+one", "+two", "main", "-two", "-one"]


def test_a_pod_is_restarted_as_its_policy_says(live):
    eventually(lambda: live.pod("on-failure")["status"]["phase"] == "Succeeded", "the second run", 25)
    assert restarts(live, "on-failure") == 1
    assert (live.ended("never")["exitCode"], restarts(live, "never")) == (4, 0)
    assert live.pod("never")["status"]["phase"] == "Failed"
    eventually(lambda: restarts(live, "always") >= 1, "a restart", 15)


def test_a_container_that_keeps_failing_backs_off_and_says_so(live):
    message = live.waits("crashes", "CrashLoopBackOff")
    uid = live.pod("crashes")["metadata"]["uid"]
    assert message == f"back-off 10s restarting failed container=main pod=crashes_default({uid})"
    assert live.event("crashes", "BackOff").startswith(
        "Back-off restarting failed container main in pod crashes_default"
    )
    assert live.status("crashes")["lastState"]["terminated"]["exitCode"] == 1
    assert "CrashLoopBackOff" in live.kubectl("get", "pod", "crashes")


def test_a_program_that_is_not_there_is_named(live):
    end = live.ended("no-program")
    assert (end["reason"], end["exitCode"]) == ("StartError", 128)
    assert "/does/not/exist" in end["message"]


def test_a_pod_is_ready_when_a_command_says_so(live):
    text = live.event("ready-by-exec", "Unhealthy")
    assert text.startswith("Readiness probe failed:")
    assert live.condition("ready-by-exec", "Ready")["reason"] == "ContainersNotReady"
    live.kubectl("exec", "ready-by-exec", "--", "touch", "/tmp/ok")
    live.ready("ready-by-exec")
    live.kubectl("exec", "ready-by-exec", "--", "rm", "/tmp/ok")
    assert live.status("ready-by-exec")["restartCount"] == 0


def test_a_pod_is_ready_when_its_page_says_so(live):
    assert (
        live.event("ready-by-http", "Unhealthy", "503")
        == "Readiness probe failed: HTTP probe failed with statuscode: 503"
    )
    live.kubectl("exec", "ready-by-http", "--", "touch", "/tmp/ok")
    live.ready("ready-by-http", "ready-by-name")


def test_a_pod_is_ready_when_its_port_opens(live):
    assert "connection refused" in live.event("ready-by-tcp", "Unhealthy")
    live.ready("ready-by-tcp")


def test_a_pod_is_ready_when_its_grpc_service_says_so(live):
    live.ready("ready-by-grpc")
    live.kubectl("exec", "ready-by-grpc", "--", "touch", "/tmp/sick")
    assert "NOT_SERVING" in live.event("ready-by-grpc", "Unhealthy", "NOT_SERVING")


def test_a_container_that_is_not_alive_is_restarted(live):
    assert live.event("dies", "Unhealthy").startswith("Liveness probe failed:")
    assert live.event("dies", "Killing") == "Container main failed liveness probe, will be restarted"
    eventually(lambda: restarts(live, "dies") >= 1, "the restart", 15)
    assert (
        live.event("sick-http", "Unhealthy", "statuscode")
        == "Liveness probe failed: HTTP probe failed with statuscode: 500"
    )


def test_other_probes_wait_for_the_startup_probe(live):
    live.ready("slow-start")
    assert restarts(live, "slow-start") == 0
    assert live.status("slow-start")["started"] is True
    assert live.event("never-starts", "Killing") == "Container main failed startup probe, will be restarted"


def test_a_hook_runs_after_the_start(live):
    live.ready("hooked")
    eventually(lambda: live.log("hooked") == "began\n", "the hook's word", 10)
    assert live.event("bad-hook", "FailedPostStartHook") == "PostStartHook failed"
    live.ended("bad-hook")


def test_a_pod_may_be_forced_away(live):
    live.ready("forced")
    began = time.monotonic()
    live.kubectl("delete", "pod", "forced", "--force", "--grace-period=0")
    assert live.pod("forced") is None
    assert time.monotonic() - began < 5


def test_a_pod_stops_by_hook_then_signal(live):
    live.ready("says-goodbye")
    follow = live.begin("logs", "-f", "says-goodbye")
    live.kubectl("delete", "pod", "says-goodbye", "--timeout=20s")
    assert live.said(follow) == "stopping\nterm\n"


def test_a_hook_may_just_wait(live):
    live.ready("sleepy")
    began = time.monotonic()
    live.kubectl("delete", "pod", "sleepy", "--timeout=20s")
    assert 1.5 < time.monotonic() - began < 8


def test_a_pod_that_ignores_the_signal_is_killed_after_its_grace(live):
    live.ready("stubborn")
    watch = live.begin(
        "get", "pod", "stubborn", "-w", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode} "
    )
    began = time.monotonic()
    live.kubectl("delete", "pod", "stubborn", "--timeout=20s")
    assert 1.5 < time.monotonic() - began < 6
    watch.terminate()
    assert "137" in live.said(watch)


def test_the_last_words_are_kept(live):
    assert live.ended("last-words")["message"] == "done well\n"
    assert live.ended("own-path")["message"] == "elsewhere\n"
    assert live.ended("from-log")["message"] == "one\ntwo\n"
    assert "message" not in live.ended("no-fallback")


def test_a_deadline_ends_a_pod(live):
    eventually(lambda: live.pod("too-long")["status"]["phase"] == "Failed", "the deadline", 15)
    status = live.pod("too-long")["status"]
    assert status["reason"] == "DeadlineExceeded"
    assert status["message"] == "Pod was active on the node longer than the specified deadline"


def test_the_phase_sums_up_the_ends(live):
    live.told("succeeds")
    eventually(lambda: live.pod("succeeds")["status"]["phase"] == "Succeeded", "success", 10)
    eventually(lambda: live.pod("two-ends")["status"]["phase"] == "Failed", "failure", 10)
    assert live.condition("succeeds", "Ready")["reason"] == "PodCompleted"
    assert "Completed" in live.kubectl("get", "pod", "succeeds")


def test_a_gated_pod_waits_for_its_gate(live):
    assert live.condition("gated", "PodScheduled")["reason"] == "SchedulingGated"
    live.kubectl("patch", "pod", "gated", "-p", '{"spec":{"schedulingGates":null}}')
    live.ready("gated")


def test_a_pod_that_fits_nowhere_says_why(live):
    live.ready("port-1")
    live.apply(pod("port-2", main={"ports": [{"containerPort": 80, "hostPort": 18080}]}))
    said = {name: live.event(name, "FailedScheduling") for name in ("port-2", "too-big", "picky")}
    assert "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports." in said["port-2"]
    assert said["too-big"].startswith("0/1 nodes are available: 1 Insufficient cpu.")
    assert "1 node(s) didn't match Pod's node affinity/selector." in said["picky"]


def test_a_cordoned_node_takes_no_pods_until_it_is_uncordoned(live):
    live.kubectl("cordon", "here")
    live.apply(pod("late"))
    assert live.event("late", "FailedScheduling").startswith("0/1 nodes are available: 1 node(s) were unschedulable.")
    live.kubectl("uncordon", "here")
    live.ready("late")
