"""The plan of one pod: what is next, and that a settled pod gets nothing."""

from dataclasses import replace

import pytest

from node_builders import container, new_pod
from tiphys.node.backoff import Entry
from tiphys.node.pod.commands import (
    BeginAnew,
    CreateSandbox,
    EndPod,
    FetchImage,
    PrepareVolumes,
    Start,
    Stop,
    TearDown,
    WakeAt,
)
from tiphys.node.pod.facts import ContainerFacts, Ending, PodFacts, Run, Step, Waiting
from tiphys.node.pod.plan import plan
from tiphys.node.pod.spec import spec_hash

NOW = 1000.0
DONE = Step(done=True)


def ran(name="c", state="running", *, code=0, attempt=0, at=NOW, **fields):
    run = Run(f"{name}-{attempt}", attempt, state, exit_code=code, finished_at=at if state == "exited" else 0.0)
    return ContainerFacts((run,), attempts=attempt + 1, **{"started": state == "running", **fields})


def facts(containers=None, **fields):
    return PodFacts(DONE, DONE, containers or {}, started_at=NOW, **fields)


POD = new_pod()


def test_a_new_pod_sets_everything_up_side_by_side():
    assert plan(POD, PodFacts(), NOW) == [CreateSandbox(), PrepareVolumes(), FetchImage("c")]


def test_what_is_under_way_is_not_asked_for_again():
    busy = PodFacts(Step(busy=True), Step(busy=True), {"c": ContainerFacts(busy=True)})
    assert plan(POD, busy, NOW) == []


def test_a_container_starts_when_all_is_there():
    assert plan(POD, facts({"c": ContainerFacts(image_ready=True)}), NOW) == [Start("c", 0)]
    waiting = PodFacts(DONE, Step(), {"c": ContainerFacts(image_ready=True)})
    assert plan(POD, waiting, NOW) == [PrepareVolumes()]


def test_settled_means_no_commands():
    assert plan(POD, facts({"c": ran()}, initialized=True), NOW) == []


def test_a_failed_set_up_waits_for_its_time():
    later = PodFacts(Step(retry_at=NOW + 5), DONE, {"c": ContainerFacts(image_ready=True)})
    assert plan(POD, later, NOW) == [WakeAt(NOW + 5)]
    assert plan(POD, later, NOW + 5) == [CreateSandbox()]


def test_a_crash_waits_for_its_back_off_and_then_runs_again():
    crashed = facts({"c": ran(state="exited", code=1, backoff=Entry(10, NOW), image_ready=True)}, initialized=True)
    assert plan(POD, crashed, NOW + 1) == [WakeAt(NOW + 10)]
    assert plan(POD, crashed, NOW + 10) == [Start("c", 1)]


@pytest.mark.parametrize(
    "policy, code, again",
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_the_restart_policy_decides(policy, code, again):
    known = facts({"c": ran(state="exited", code=code, image_ready=True)}, initialized=True)
    commands = plan(new_pod(restartPolicy=policy), known, NOW)
    assert commands == ([Start("c", 1)] if again else [TearDown()])


INITS = new_pod(initContainers=[container("i"), container("s", restartPolicy="Always"), container("j")])


def test_init_containers_come_one_by_one():
    assert plan(INITS, facts(), NOW) == [FetchImage("i")]
    done = {"i": ran("i", "exited")}
    assert plan(INITS, facts(done), NOW) == [FetchImage("s")]
    assert plan(INITS, facts({**done, "s": ran("s", started=False)}), NOW) == []
    assert plan(INITS, facts({**done, "s": ran("s")}), NOW) == [FetchImage("j")]
    assert plan(INITS, facts({**done, "s": ran("s"), "j": ran("j", "exited")}), NOW) == [FetchImage("c")]


def test_a_failed_init_container_ends_a_pod_that_may_not_restart():
    pod = new_pod(initContainers=[container("i")], restartPolicy="Never")
    assert plan(pod, facts({"i": ran("i", "exited", code=1)}), NOW) == [TearDown()]


def test_a_sidecar_that_died_comes_back_beside_the_mains():
    known = {"i": ran("i", "exited"), "s": ran("s", "exited", code=1), "j": ran("j", "exited"), "c": ran()}
    assert plan(INITS, facts(known, initialized=True), NOW) == [FetchImage("s")]


def test_an_unhealthy_container_is_stopped_with_its_probes_grace():
    sick = facts({"c": ran(unhealthy="it is sick", kill_grace=5)}, initialized=True)
    assert plan(POD, sick, NOW) == [Stop("c", "c-0", 5, "it is sick")]


def test_a_changed_image_restarts_the_container():
    old = ran()
    old = replace(old, runs=(replace(old.runs[0], hash=spec_hash(container(image="app:0"))),))
    (command,) = plan(POD, facts({"c": old}, initialized=True), NOW)
    assert isinstance(command, Stop) and command.message == "Container c definition changed, will be restarted"


def test_mains_stop_before_sidecars_and_sidecars_in_reverse():
    pod = new_pod(initContainers=[container("s", restartPolicy="Always"), container("t", restartPolicy="Always")])
    ending = Ending(NOW + 30, deleting=True)
    names = []
    known = {"c": ran(), "s": ran("s"), "t": ran("t")}
    while commands := [c for c in plan(pod, facts(known, ending=ending), NOW) if isinstance(c, Stop)]:
        names.append(commands[0].container)
        known[names[-1]] = ran(names[-1], "exited")
    assert names == ["c", "t", "s"]
    assert plan(pod, facts(known, ending=ending), NOW) == [TearDown()]


def test_grace_runs_out_but_never_below_two_seconds():
    (command,) = plan(POD, facts({"c": ran()}, ending=Ending(NOW + 10)), NOW + 9.5)
    assert command == Stop("c", "c-0", 2, "Stopping container c")


def test_a_deleted_pod_is_taken_down_and_then_its_object():
    ended = facts({"c": ran(state="exited")}, ending=Ending(NOW, deleting=True))
    assert plan(POD, ended, NOW) == [TearDown()]
    assert plan(POD, replace(ended, tearing_down=True), NOW) == []
    assert plan(POD, replace(ended, torn_down=True), NOW) == [TearDown()]


def test_a_finished_pod_is_taken_down_once():
    pod = new_pod(restartPolicy="Never")
    finished = facts({"c": ran(state="exited")}, initialized=True)
    assert plan(pod, finished, NOW) == [TearDown()]
    assert plan(pod, replace(finished, torn_down=True), NOW) == []


def test_the_active_deadline_is_waited_for_and_ends_the_pod():
    pod = new_pod(activeDeadlineSeconds=60)
    known = facts({"c": ran()}, initialized=True)
    assert plan(pod, known, NOW) == [WakeAt(NOW + 60)]
    (command,) = plan(pod, known, NOW + 60)
    assert isinstance(command, EndPod) and command.reason == "DeadlineExceeded"


def test_a_refused_pod_makes_nothing():
    refused = PodFacts(refused=Waiting("OutOfcpu"))
    assert plan(POD, refused, NOW) == [TearDown()]
    assert plan(POD, replace(refused, torn_down=True), NOW) == []


def test_after_a_reboot_the_inits_run_again_before_the_mains():
    pod = new_pod(initContainers=[container("i")])

    def stale(known):
        return replace(known, runs=tuple(replace(run, stale=True) for run in known.runs))

    known = {"i": stale(ran("i", "exited")), "c": stale(ran(state="exited", code=137))}
    assert plan(pod, facts(known), NOW) == [FetchImage("i")]


def test_an_ephemeral_container_runs_once_beside_the_others():
    pod = new_pod(ephemeralContainers=[container("debug")])
    known = {"c": ran()}
    assert plan(pod, facts(known, initialized=True), NOW) == [FetchImage("debug")]
    known["debug"] = ran("debug", "exited", code=1)
    assert plan(pod, facts(known, initialized=True), NOW) == []


def test_other_resources_are_another_run_only_where_the_container_says_so():
    def hashed(memory, policy):
        resize = [{"resourceName": "memory", "restartPolicy": policy}]
        return spec_hash(container(resources={"limits": {"memory": memory}}, resizePolicy=resize))

    assert hashed("64Mi", "NotRequired") == hashed("80Mi", "NotRequired") == spec_hash(container())
    assert hashed("64Mi", "RestartContainer") != hashed("80Mi", "RestartContainer")


RULES = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
ANEW = new_pod(
    containers=[container(restartPolicy="Never", restartPolicyRules=RULES), container("other")],
    initContainers=[container("i")],
    restartPolicy="Never",
)


def test_one_end_may_make_all_containers_begin_anew():
    known = {"i": ran("i", "exited"), "c": ran(state="exited", code=42), "other": ran("other")}
    (stop,) = plan(ANEW, facts(known, initialized=True), NOW)
    assert (stop.id, stop.grace_seconds, stop.abrupt) == ("other-0", 0, True)
    ended = facts({**known, "other": ran("other", "exited", code=143)}, initialized=True)
    assert plan(ANEW, ended, NOW) == [BeginAnew()]
    again = {name: replace(of, runs=(replace(of.runs[0], void=True),)) for name, of in ended.containers.items()}
    assert plan(ANEW, facts(again), NOW) == [FetchImage("i")]
    begun = {**again, "i": ran("i", "exited", attempt=1), "c": replace(again["c"], image_ready=True)}
    assert plan(ANEW, facts(begun), NOW) == [Start("c", 1), FetchImage("other")]


def test_the_first_rule_that_a_code_meets_holds():
    only_it = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    pod = new_pod(containers=[container(restartPolicy="Never", restartPolicyRules=[only_it, *RULES])])
    known = facts({"c": ran(state="exited", code=42, image_ready=True)}, initialized=True)
    assert plan(pod, known, NOW) == [Start("c", 1)]
