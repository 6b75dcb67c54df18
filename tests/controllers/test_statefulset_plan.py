"""A StatefulSet has one pod for each ordinal, in order, moves on from the top, and never names two pods alike."""

from builders import changed, pod, statefulset
from tiphys.api.objects import is_deleting, labels_of, name_of, parse_timestamp
from tiphys.controllers.statefulset.identity import PODS, STATEFULSETS
from tiphys.controllers.statefulset.plan import REVISION_HASH, Facts, plan
from tiphys.reconcile import history
from tiphys.reconcile.commands import Create, Delete, Patch, Requeue, Say, Update

NOW = parse_timestamp("2027-01-15T08:00:30Z")
PARALLEL = {"podManagementPolicy": "Parallel"}


def revision(image="v1", number=1):
    made = history.record(statefulset(1, image=image), [], REVISION_HASH).revision
    return {**made, "revision": number}


OLD, NEW = revision("v1"), revision("v2", 2)


def member(ordinal, of=OLD, **more):
    name = f"db-{ordinal}"
    labels = {"app": "web", "statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(ordinal)}
    return pod(name, labels={**labels, history.POD_REVISION: name_of(of)}, **more)


def commands(owner, *pods, revisions=(OLD,), claims=()):
    return plan(owner, Facts(pods, revisions, {name_of(claim): claim for claim in claims}), NOW)


def made(owner, *pods, **more):
    found = [c.object for c in commands(owner, *pods, **more) if isinstance(c, Create) and c.resource == PODS]
    return [name_of(one) for one in found]


def lost(owner, *pods, **more):
    return [c.key[1] for c in commands(owner, *pods, **more) if isinstance(c, Delete) and c.resource == PODS]


def status(owner, *pods, **more):
    told = [c for c in commands(owner, *pods, **more) if isinstance(c, Update) and c.resource == STATEFULSETS]
    return told[0].object["status"] if told else owner["status"]


def rolling(replicas=3, *, status=None, **fields):
    """In the middle of a rollout from v1 to v2."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, **fields}}
    status = status or {"currentRevision": name_of(OLD), "updateRevision": name_of(NEW)}
    return statefulset(replicas, image="v2", strategy=strategy, status=status)


def updated(owner, *pods):
    return lost(owner, *pods, revisions=(OLD, NEW))


def test_settled_means_no_commands():
    settled = statefulset(2, status=status(statefulset(2), member(0), member(1)))
    assert commands(settled, member(0), member(1)) == []


def test_the_first_pod_comes_first_and_with_it_the_revision():
    first = commands(statefulset(3), revisions=())
    assert [c.resource.kind for c in first if isinstance(c, Create)] == ["ControllerRevision", "Pod"]
    assert made(statefulset(3)) == ["db-0"]


def test_the_next_pod_waits_until_those_before_it_are_ready():
    assert made(statefulset(3), member(0)) == ["db-1"]
    assert made(statefulset(3), member(0, ready=False)) == []
    assert made(statefulset(3), member(0), member(1, deleting=True)) == []


def test_a_parallel_set_makes_all_of_them_at_once():
    assert made(statefulset(3, **PARALLEL), member(1, ready=False)) == ["db-0", "db-2"]


def test_a_pod_that_is_still_going_keeps_its_name():
    assert made(statefulset(1, **PARALLEL), member(0, deleting=True)) == []


def test_a_new_pod_knows_who_it_is():
    (created,) = [c.object for c in commands(statefulset(1)) if isinstance(c, Create)]
    assert (created["spec"]["hostname"], created["spec"]["subdomain"]) == ("db-0", "db")
    assert labels_of(created) == labels_of(member(0))
    assert "generateName" not in created["metadata"]


def test_ordinals_may_begin_elsewhere():
    shifted = statefulset(2, ordinals={"start": 5}, **PARALLEL)
    assert made(shifted) == ["db-5", "db-6"]
    assert lost(shifted, member(4), member(5), member(6)) == ["db-4"]


def test_scaling_down_takes_the_highest_and_waits_for_its_end():
    assert lost(statefulset(1), member(0), member(1), member(2)) == ["db-2"]
    assert lost(statefulset(1), member(0), member(1), member(2, deleting=True)) == []
    assert lost(statefulset(1, **PARALLEL), member(0), member(1), member(2)) == ["db-2", "db-1"]


def test_scaling_down_waits_for_pods_that_stay_to_be_well():
    assert lost(statefulset(1), member(0, ready=False), member(1)) == []


def test_an_unhealthy_pod_goes_only_before_those_that_are_well():
    assert lost(statefulset(1), member(0), member(1), member(2, ready=False)) == ["db-2"]
    assert lost(statefulset(1), member(0), member(1, ready=False), member(2, ready=False)) == []


def test_a_pod_that_has_failed_is_made_anew():
    failed = member(0, ready=False, phase="Failed")
    assert lost(statefulset(1), failed) == ["db-0"]
    (said,) = [c for c in commands(statefulset(1), failed) if isinstance(c, Say)]
    assert (said.reason, said.type) == ("RecreatingFailedPod", "Warning")
    assert said.message == "StatefulSet shop/db is recreating failed Pod db-0"


def test_a_pod_without_its_labels_gets_them():
    (patch,) = [c for c in commands(statefulset(1), pod("db-0")) if isinstance(c, Patch)]
    assert patch.patch["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"


# rollouts


def test_a_rollout_goes_from_the_top_one_by_one():
    assert updated(rolling(), member(0), member(1), member(2)) == ["db-2"]
    assert updated(rolling(), member(0), member(1), member(2, NEW)) == ["db-1"]
    assert updated(rolling(), member(0), member(1), member(2, NEW, ready=False)) == []


def test_a_pod_that_was_deleted_comes_back_new():
    (created,) = [c.object for c in commands(rolling(), member(0), revisions=(OLD, NEW)) if isinstance(c, Create)]
    assert labels_of(created)[history.POD_REVISION] == name_of(NEW)
    assert created["spec"]["containers"][0]["image"] == "v2"


def test_pods_below_the_partition_stay_and_come_back_old():
    owner = rolling(partition=2)
    assert updated(owner, member(0), member(1), member(2)) == ["db-2"]
    assert updated(owner, member(0), member(1), member(2, NEW)) == []
    (created,) = [c.object for c in commands(owner, member(0), revisions=(OLD, NEW)) if isinstance(c, Create)]
    assert labels_of(created)[history.POD_REVISION] == name_of(OLD)


def test_an_ordered_set_stands_still_behind_a_broken_pod_as_in_kubernetes():
    broken = revision("broken", 3)
    assert updated(rolling(), member(0), member(1), member(2, broken, ready=False)) == []


def test_a_parallel_set_replaces_a_broken_pod():
    broken = revision("broken", 3)
    owner = changed(rolling(), **PARALLEL)
    assert updated(owner, member(0), member(1), member(2, broken, ready=False)) == ["db-2"]


def test_as_many_go_at_once_as_may_be_away():
    assert updated(rolling(4, maxUnavailable="50%"), *map(member, range(4))) == ["db-3", "db-2"]
    parallel = changed(rolling(4, maxUnavailable=2), **PARALLEL)
    gone = [member(0), member(1), member(2), member(3, NEW, ready=False)]
    assert updated(parallel, *gone) == ["db-2"]


def test_a_pod_that_is_being_made_is_away():
    for rolling_spec in (rolling(3), rolling(3, maxUnavailable=1)):
        assert updated(changed(rolling_spec, **PARALLEL), member(0), member(1)) == []


def test_an_old_pod_that_is_away_anyway_goes_before_those_that_are_well():
    parallel = changed(rolling(3, maxUnavailable=1), **PARALLEL)
    assert updated(parallel, member(0, ready=False), member(1), member(2)) == ["db-0"]


def test_on_delete_only_follows():
    assert updated(changed(rolling(), updateStrategy={"type": "OnDelete"}), member(0), member(1), member(2)) == []


def test_a_paused_rollout_replaces_nobody():
    owner = rolling()
    owner["metadata"]["annotations"] = {"tiphys.io/paused": "true"}
    assert updated(owner, member(0), member(1), member(2)) == []


def test_a_pod_must_be_ready_for_a_while_before_the_next_one_goes():
    owner = changed(rolling(), minReadySeconds=40)
    assert updated(owner, member(0), member(1), member(2, NEW)) == []
    assert Requeue(10.0) in commands(owner, member(0), member(1), member(2, NEW), revisions=(OLD, NEW))


# status


def test_the_status_counts_both_revisions():
    told = status(rolling(), member(0), member(1, ready=False), member(2, NEW), revisions=(OLD, NEW))
    counts = {"replicas": 3, "readyReplicas": 2, "availableReplicas": 2, "currentReplicas": 2, "updatedReplicas": 1}
    revisions = {"currentRevision": name_of(OLD), "updateRevision": name_of(NEW)}
    assert told == counts | revisions | {"collisionCount": 0, "observedGeneration": 1}


def test_a_rollout_ends_when_all_are_new_and_ready():
    told = status(rolling(2), member(0, NEW), member(1, NEW), revisions=(OLD, NEW))
    assert told["currentRevision"] == told["updateRevision"] == name_of(NEW)
    assert told["currentReplicas"] == told["updatedReplicas"] == 2


def test_revisions_that_no_pod_has_are_forgotten():
    owner = changed(rolling(1), revisionHistoryLimit=0)
    owner["status"] = {"currentRevision": name_of(NEW)}
    gone = [c for c in commands(owner, member(0, NEW), revisions=(OLD, NEW)) if isinstance(c, Delete)]
    assert [c.key[1] for c in gone] == [name_of(OLD)]


def test_a_set_that_is_deleted_makes_nothing():
    going = statefulset(3)
    going["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert is_deleting(going) and made(going) == []
