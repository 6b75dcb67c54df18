"""One line that says how far a pod came."""

import time

import pytest

from builders import pod
from tiphys.api import resources
from tiphys.api.objects import parse_timestamp
from tiphys.apiserver.tables import pods
from tiphys.apiserver.tables.render import render

NOW = parse_timestamp("2027-01-15T08:10:00Z")


def container(name="c", *, ready=False, started=None, restarts=0, ended_at=None, **state):
    made = {"name": name, "ready": ready, "restartCount": restarts, "state": state}
    if started is not None:
        made["started"] = started
    if ended_at is not None:
        made["lastState"] = {"terminated": {"exitCode": 1, "finishedAt": ended_at}}
    return made


def line(obj):
    return pods.cells(obj, NOW)[1:4]


def waiting(reason):
    return {"waiting": {"reason": reason}}


def ended(code, **more):
    return {"terminated": {"exitCode": code, **more}}


def with_containers(*statuses, inits=(), **options):
    obj = pod("web", **options)
    obj["status"]["containerStatuses"] = list(statuses)
    obj["status"]["initContainerStatuses"] = list(inits)
    return obj


def test_a_running_pod():
    obj = with_containers(container(ready=True, running={}))
    assert line(obj) == ["1/1", "Running", "0"]


def test_restarts_say_when_the_last_one_was():
    obj = with_containers(container(restarts=3, ended_at="2027-01-15T08:05:00Z", **waiting("CrashLoopBackOff")))
    assert line(obj) == ["0/1", "CrashLoopBackOff", "3 (5m ago)"]


def test_a_pod_that_is_being_deleted_says_only_that():
    obj = with_containers(container(**waiting("CrashLoopBackOff")), deleting=True)
    assert line(obj)[1] == "Terminating"


def test_a_finished_pod_that_is_being_deleted_says_how_it_ended():
    obj = with_containers(container(**ended(0, reason="Completed")), deleting=True, phase="Succeeded")
    assert line(obj)[1] == "Completed"


def test_a_lost_pod_is_unknown():
    obj = with_containers(deleting=True)
    obj["status"]["reason"] = "NodeLost"
    assert line(obj)[1] == "Unknown"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"running": {}}, "Init:0/2"),
        (waiting("PodInitializing"), "Init:0/2"),
        (waiting("ImagePullBackOff"), "Init:ImagePullBackOff"),
        (ended(2), "Init:ExitCode:2"),
        (ended(137, signal=9), "Init:Signal:9"),
        (ended(1, reason="Error"), "Init:Error"),
    ],
)
def test_an_init_container_hides_the_others(state, text):
    inits = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    obj = with_containers(inits=[container("a", **state), container("b")], phase="Pending", initContainers=inits)
    assert line(obj)[1] == text


def test_sidecars_count_among_the_containers():
    inits = [{"name": "s", "restartPolicy": "Always"}]
    sidecar = container("s", ready=True, started=True, restarts=1, running={})
    obj = with_containers(container(ready=True, running={}), inits=[sidecar], initContainers=inits)
    assert line(obj) == ["2/2", "Running", "1"]


def test_a_pod_with_one_container_done_and_one_unready_is_not_ready():
    obj = with_containers(
        container(**ended(0, reason="Completed")), container("b", ready=True, running={}), ready=False
    )
    assert line(obj)[1] == "NotReady"


def test_a_gated_pod_says_so():
    obj = pod("web", phase="Pending", node=None)
    obj["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
    assert line(obj)[1] == "SchedulingGated"


def test_readiness_gates_count_true_conditions():
    obj = pod("web", readinessGates=[{"conditionType": "Ready"}, {"conditionType": "other"}])
    assert pods.cells(obj, NOW)[-1] == "1/2"


def test_a_row_of_a_failed_pod_has_a_condition():
    row = render(resources.get("", "v1", "pods"), [pod("web", phase="Failed")], "None", now=NOW)["rows"][0]
    assert row["conditions"][0]["reason"] == "Failed"


def test_five_hundred_pods_are_quick():
    many = [with_containers(container(ready=True, running={})) for _ in range(500)]
    started = time.perf_counter()
    render(resources.get("", "v1", "pods"), many, "Metadata", now=NOW)
    assert time.perf_counter() - started < 0.05
