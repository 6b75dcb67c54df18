"""A rollout is watched, found good or bad once, and a bad one goes back or stops, as the workload says."""

import pytest

from builders import daemonset, deployment, pod, replicaset, statefulset
from tiphys.api.objects import name_of, parse_timestamp
from tiphys.api.own_annotations import RolloutPolicy
from tiphys.controllers.rollout import facts
from tiphys.controllers.rollout.failures import judge
from tiphys.controllers.rollout.plan import plan
from tiphys.reconcile import history
from tiphys.reconcile.commands import Delete, Patch, Requeue, Say

BORN = "2027-01-15T08:00:00Z"
NOW = parse_timestamp(BORN) + 30
BACK, STOP = RolloutPolicy("rollback"), RolloutPolicy("pause")
GOOD, FAILED = "tiphys.io/good-revision", "tiphys.io/failed-revision"
DONE = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}

OWNER = deployment(2, image="v2")
OLD = replicaset(0, name="web-1", owner=OWNER, annotations={"deployment.kubernetes.io/revision": "1"})
NEW = replicaset(2, name="web-2", image="v2", owner=OWNER, annotations={"deployment.kubernetes.io/revision": "2"})


def container(state, last=None, name="c"):
    return {"name": name, "state": state, "lastState": last or {}}


def running(since=BORN):
    return container({"running": {"startedAt": since}})


def ended(code=1, seconds=2, name="c"):
    end = {"exitCode": code, "startedAt": BORN, "finishedAt": f"2027-01-15T08:00:{seconds:02}Z"}
    return container({"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": end}, name)


def member(name, *statuses, owner=NEW, **more):
    made = pod(name, owner=owner, **more)
    made["status"]["containerStatuses"] = list(statuses or (running(),))
    return made


def verdict(*statuses, now=NOW, policy=BACK, **more):
    return judge(member("web-a", *statuses, **more), policy, now)


def judged(*pods, policy=BACK, noted=None, status=None, kept=(OLD, NEW), now=NOW):
    owner = deployment(2, image="v2", annotations=noted, status=status)
    return plan(facts.of_deployment(owner, kept, pods), policy, now)


def patched(commands):
    (patch,) = [c.patch for c in commands if isinstance(c, Patch)]
    return patch["metadata"]["annotations"], patch.get("spec")


def told(commands):
    (said,) = [c for c in commands if isinstance(c, Say)]
    return said.reason, said.message


# pods


def test_a_pod_that_runs_longer_than_the_monitor_time_is_fine():
    assert verdict() == judge(member("web-a"), BACK, NOW) and not verdict().seconds and not verdict().failure


def test_a_pod_that_has_just_begun_is_watched():
    assert verdict(running("2027-01-15T08:00:28Z")).seconds == 3.0


def test_a_container_that_ends_early_is_a_failure_and_a_late_one_is_not():
    assert verdict(ended(7)).failure == "container c of web-a ended with exit code 7 after 2 s"
    assert not verdict(container({"running": {"startedAt": BORN}}, ended(seconds=20)["lastState"])).failure
    assert verdict(ended(seconds=20), policy=RolloutPolicy("pause", 20.0)).failure


def test_an_init_container_may_end_well():
    more = {"initContainers": [{"name": "init", "image": "i"}]}
    for code, fails in ((0, False), (1, True)):
        found = member("web-a", running(), **more)
        found["status"]["initContainerStatuses"] = [ended(code, name="init") | {"state": {}}]
        assert bool(judge(found, BACK, NOW).failure) is fails


def test_an_image_that_does_not_come_is_a_failure_after_the_monitor_time():
    waits = container({"waiting": {"reason": "ImagePullBackOff"}})
    assert verdict(waits, ready=False).failure == "web-a waits: ImagePullBackOff"
    assert verdict(waits, ready=False, now=NOW - 27).seconds == 2.0


def test_a_pod_that_does_not_get_ready_is_a_failure_in_the_end():
    assert verdict(ready=False).seconds == 570.0
    assert verdict(ready=False, now=NOW + 570).failure == "web-a is not ready after 600 s"


def test_a_pod_that_was_disrupted_or_is_gated_is_nobodys_failure():
    evicted = member("web-a", phase="Failed", ready=False)
    assert judge(evicted, BACK, NOW).failure
    evicted["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True"})
    assert not judge(evicted, BACK, NOW).failure
    gated = verdict(ready=False, schedulingGates=[{"name": "x"}], now=NOW + 9000)
    assert not gated.failure and not gated.seconds


# rollouts


def test_settled_means_no_commands():
    assert judged(member("web-a"), member("web-b"), noted={GOOD: "web-2"}, status=DONE) == []
    assert judged(member("web-a", ended()), noted={FAILED: "web-2"}) == []
    assert judged(member("web-a", ended()), noted={FAILED: "web-2", GOOD: "web-1"}, policy=STOP) == []


def test_a_rollout_that_came_through_is_noted_as_good():
    assert patched(judged(member("web-a"), member("web-b"), status=DONE)) == ({GOOD: "web-2"}, None)


def test_a_rollout_is_not_good_before_the_last_pod_was_watched():
    young = member("web-b", running("2027-01-15T08:00:28Z"))
    assert judged(member("web-a"), young, status=DONE) == [Requeue(3.0)]
    assert judged(member("web-a"), status={**DONE, "updatedReplicas": 1}) == []


def test_a_failed_rollout_goes_back_to_the_good_revision():
    commands = judged(member("web-a", ended()), noted={GOOD: "web-1"})
    annotations, spec = patched(commands)
    assert annotations == {FAILED: "web-2"}
    assert spec["template"]["spec"]["containers"][0]["image"] == "v1" and spec["template"]["$patch"] == "replace"
    reason, message = told(commands)
    assert reason == "RolloutRolledBack" and message.startswith("Rolled back from web-2 to web-1: 1 of 2 pods failed")


def test_without_a_good_revision_it_goes_back_once_to_the_one_before():
    assert told(judged(member("web-a", ended())))[0] == "RolloutRolledBack"
    assert told(judged(member("web-a", ended()), noted={FAILED: "web-1"}))[0] == "RolloutFailed"
    assert told(judged(member("web-a", ended()), kept=(NEW,)))[0] == "RolloutFailed"


def test_a_failed_rollout_may_stop_instead():
    commands = judged(member("web-a", ended()), policy=STOP, noted={GOOD: "web-1"})
    assert patched(commands) == ({FAILED: "web-2"}, {"paused": True}) and told(commands)[0] == "RolloutPaused"


def test_a_revision_that_failed_once_and_is_tried_again_is_judged_again():
    again = {GOOD: "web-1", FAILED: "web-2"}
    assert told(judged(member("web-a", ended()), noted=again))[0] == "RolloutRolledBack"
    well = judged(member("web-a"), member("web-b"), noted=again, status=DONE)
    assert patched(well) == ({GOOD: "web-2", FAILED: None}, None)


def test_a_deployment_that_waits_for_others_is_not_stuck():
    over = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}
    gated = member("web-a", ready=False, schedulingGates=[{"name": "x"}])
    assert judged(gated, status={"observedGeneration": 1} | over, noted={GOOD: "web-1"}, now=NOW + 900) == []


def test_as_many_may_fail_as_are_tolerated():
    half = RolloutPolicy("rollback", max_failure_ratio=0.5)
    assert judged(member("web-a", ended()), member("web-b"), policy=half) == []
    assert told(judged(member("web-a", ended()), member("web-b", ended()), policy=half))[0] == "RolloutRolledBack"


def test_pods_of_another_revision_and_pods_that_go_are_not_looked_at():
    assert judged(member("old", ended(), owner=OLD), member("going", ended(), deleting=True)) == []


def test_a_deployment_whose_deadline_is_over_has_failed():
    over = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    commands = judged(member("web-a"), noted={GOOD: "web-1"}, status={**DONE, "conditions": [over]})
    assert told(commands)[1].endswith("its progress deadline is exceeded")


def test_what_was_changed_meanwhile_is_not_overruled():
    (patch,) = [c.patch for c in judged(member("web-a", ended())) if isinstance(c, Patch)]
    assert {"uid", "resourceVersion"} <= patch["metadata"].keys()


# sets


def revisions(owner_of, label):
    made = [history.record(owner_of(image=image), [], label).revision for image in ("v1", "v2")]
    return [{**one, "revision": number} for number, one in enumerate(made, 1)]


def of_revision(name, revision, *statuses, **more):
    made = member(name, *statuses, owner=None, **more)
    made["metadata"]["labels"] = {history.POD_REVISION: revision}
    return made


def a_set(**more):
    return statefulset(2, **more)


@pytest.mark.parametrize(
    ("resource", "owner_of", "label", "by_name"),
    [
        (facts.STATEFULSETS, a_set, "controller.kubernetes.io/hash", True),
        (facts.DAEMONSETS, daemonset, history.POD_REVISION, False),
    ],
)
@pytest.mark.parametrize("policy", [BACK, STOP])
def test_sets_go_back_or_stop(resource, owner_of, label, by_name, policy):
    old, new = revisions(owner_of, label)
    broken = of_revision("db-1", name_of(new) if by_name else new["metadata"]["labels"][label], ended())
    owner = owner_of(image="v2", annotations={GOOD: name_of(old)})
    commands = plan(facts.of_set(resource, owner, [old, new], [broken]), policy, NOW)
    annotations, spec = patched(commands)
    if policy is BACK:
        assert spec["template"]["spec"]["containers"][0]["image"] == "v1" and annotations == {FAILED: name_of(new)}
    else:
        assert spec is None and annotations == {FAILED: name_of(new), "tiphys.io/paused": "true"}


def test_after_going_back_the_broken_pod_of_an_ordered_set_goes():
    old, new = revisions(a_set, "controller.kubernetes.io/hash")
    owner = a_set(image="v1", annotations={GOOD: name_of(old), FAILED: name_of(new)})
    pods = [of_revision("db-0", name_of(old)), of_revision("db-1", name_of(new), ended(), ready=False)]
    rollout = facts.of_set(facts.STATEFULSETS, owner, [old, new], pods)
    assert [c.key[1] for c in plan(rollout, BACK, NOW) if isinstance(c, Delete)] == ["db-1"]
    assert plan(rollout, STOP, NOW) == []


def test_a_set_that_came_through_is_good():
    old, new = revisions(a_set, "controller.kubernetes.io/hash")
    named = {"currentRevision": name_of(new), "updateRevision": name_of(new)}
    pods = [of_revision(f"db-{ordinal}", name_of(new)) for ordinal in range(2)]
    rollout = facts.of_set(facts.STATEFULSETS, a_set(image="v2", status=DONE | named), [old, new], pods)
    assert patched(plan(rollout, BACK, NOW)) == ({GOOD: name_of(new)}, None)
