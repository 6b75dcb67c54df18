"""PodStatus as the kubelet writes it, and when it is worth a request."""

import pytest

from node_builders import container, new_pod
from tiphys.node.backoff import Entry
from tiphys.node.pod.facts import ContainerFacts, Ending, PodFacts, Run, Step, Waiting
from tiphys.node.pod.reports import is_urgent
from tiphys.node.pod.status import Host, pod_status
from tiphys.node.statuses import difference

NOW = 1_800_000_000.0
TIME = "2027-01-15T08:00:00Z"


def ran(state="running", *, code=0, attempt=0, **fields):
    times = {"started_at": NOW - 60, "finished_at": NOW if state == "exited" else 0.0}
    return ContainerFacts((Run("id", attempt, state, exit_code=code, **times),), attempt + 1, **fields)


def status(known=None, pod=None, previous=None, **fields):
    facts = PodFacts(Step(done=True), Step(done=True), known or {}, address="10.42.0.2", started_at=NOW, **fields)
    return pod_status(pod or {**new_pod(), "metadata": {"name": "web", "namespace": "shop", "uid": "u"}}, facts,
                      previous or {}, NOW, Host("192.0.2.1"))  # fmt: skip


def conditions(found):
    return {c["type"]: c["status"] for c in found["conditions"]}


def test_a_running_ready_pod():
    found = status({"c": ran(started=True, ready=True)}, initialized=True)
    assert found["phase"] == "Running" and set(conditions(found).values()) == {"True"}
    assert found["podIPs"] == [{"ip": "10.42.0.2"}] and found["startTime"] == TIME


def test_a_container_that_was_never_begun_is_being_created():
    found = status()
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(found)["Ready"] == "False"


def test_an_unready_container_is_named():
    found = status({"c": ran(started=True)}, initialized=True)
    ready = next(c for c in found["conditions"] if c["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [c]")


def test_a_crash_that_waits_shows_the_exit_as_its_last_state():
    known = ran("exited", code=3, attempt=2, backoff=Entry(20, NOW))
    found = status({"c": known}, initialized=True)["containerStatuses"][0]
    assert found["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert found["lastState"]["terminated"]["exitCode"] == 3 and found["restartCount"] == 2


@pytest.mark.parametrize("codes, phase", [((0, 0), "Succeeded"), ((0, 1), "Failed")])
def test_the_phase_of_a_finished_pod(codes, phase):
    pod = new_pod(containers=[container("a"), container("b")], restartPolicy="Never")
    known = {name: ran("exited", code=code) for name, code in zip("ab", codes, strict=True)}
    assert status(known, pod, initialized=True)["phase"] == phase


def test_a_final_phase_never_changes():
    assert status({"c": ran()}, previous={"phase": "Failed"}, initialized=True)["phase"] == "Failed"


def test_an_evicted_pod_has_failed_with_its_reason():
    found = status({"c": ran("exited", code=137)}, ending=Ending(NOW, "Evicted", "low on memory"), initialized=True)
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "Evicted", "low on memory")
    assert found["conditions"][-1]["reason"] == "TerminationByKubelet"


def test_a_refused_pod_says_what_it_lacked():
    found = status(refused=Waiting("OutOfcpu", "Node didn't have enough resource: cpu"))
    assert (found["phase"], found["reason"]) == ("Failed", "OutOfcpu")
    assert found["message"] == "Pod was rejected: Node didn't have enough resource: cpu"


def test_a_readiness_gate_holds_the_pod_back():
    pod = {**new_pod(readinessGates=[{"conditionType": "lb"}])}
    found = status({"c": ran(started=True, ready=True)}, pod, initialized=True)
    assert conditions(found)["ContainersReady"] == "True" and conditions(found)["Ready"] == "False"


def test_conditions_of_others_and_old_transition_times_live_on():
    previous = {"conditions": [{"type": "lb", "status": "True"}, {"type": "Ready", "status": "True",
                "lastTransitionTime": "2020-01-01T00:00:00Z"}]}  # fmt: skip
    found = status({"c": ran(started=True, ready=True)}, previous=previous, initialized=True)
    by_type = {c["type"]: c for c in found["conditions"]}
    assert by_type["lb"]["status"] == "True"
    assert by_type["Ready"]["lastTransitionTime"] == "2020-01-01T00:00:00Z"


def test_ephemeral_containers_have_a_list_of_their_own():
    found = status({"c": ran(), "d": ran()}, new_pod(ephemeralContainers=[container("d")]), initialized=True)
    assert [c["name"] for c in found["ephemeralContainerStatuses"]] == ["d"]


def test_only_what_users_wait_for_is_urgent():
    creating, running = status(), status({"c": ran(started=True, ready=True)}, initialized=True)
    pulling = status({"c": ContainerFacts(waiting=Waiting("ErrImagePull", "no"))})
    assert is_urgent(creating, running) and is_urgent(creating, pulling)
    assert not is_urgent({}, creating) and not is_urgent(running, {**running, "podIP": "10.42.0.9"})


def test_a_patch_holds_only_what_differs():
    before = status()
    assert difference(before, before) == {}
    after = {**before, "podIP": "10.42.0.9", "podIPs": [{"ip": "10.42.0.9"}]}
    assert difference(before, after) == {
        "podIP": "10.42.0.9",
        "podIPs": [{"$patch": "replace"}, {"ip": "10.42.0.9"}],
    }
