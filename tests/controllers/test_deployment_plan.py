"""A Deployment rolls within its limits, recreates, pauses, scales in proportion, keeps its history."""

from builders import changed, deployment, pod, replicaset
from tiphys.api.objects import parse_timestamp
from tiphys.controllers.deployment import numbers, templates
from tiphys.controllers.deployment.plan import plan
from tiphys.reconcile.commands import Create, Delete, Say, Update

NOW = parse_timestamp("2027-01-15T08:00:30Z")


def sized(replicas, ready, *, name, image, desired=None, revision="1", made="2027-01-15T08:00:00Z"):
    """A ReplicaSet with that many wanted and available pods."""
    desired = desired if desired is not None else replicas
    annotations = {
        templates.DESIRED: str(desired),
        templates.MAX: str(desired + 1),
        templates.REVISION: revision,
    }
    status = {"replicas": replicas, "readyReplicas": ready, "availableReplicas": ready}
    return replicaset(replicas, status, name=name, image=image, annotations=annotations, created=made)


def sizes(commands):
    return {
        c.object["metadata"]["name"]: c.object["spec"]["replicas"]
        for c in commands
        if isinstance(c, Update) and c.object["kind"] == "ReplicaSet"
    }


def at_revision(replicas, revision="2", **options):
    return deployment(replicas, annotations={templates.REVISION: revision}, **options)


def test_the_first_plan_makes_the_replicaset_at_full_size():
    commands = plan(deployment(3), [], [], NOW)
    made = next(c for c in commands if isinstance(c, Create)).object
    name_hash = made["spec"]["selector"]["matchLabels"]["pod-template-hash"]
    assert made["metadata"]["name"] == f"web-{name_hash}" and made["spec"]["replicas"] == 3
    assert made["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": name_hash}
    assert made["metadata"]["annotations"][templates.REVISION] == "1"


def test_equal_templates_have_equal_hashes_and_a_collision_moves_on():
    template = deployment(1)["spec"]["template"]
    assert templates.template_hash(template, 0) == templates.template_hash(dict(template), 0)
    assert templates.template_hash(template, 0) != templates.template_hash(template, 1)


def test_a_new_template_starts_within_the_surge():
    old = sized(4, 4, name="old", image="v1")
    commands = plan(at_revision(4, image="v2", surge=1), [old], [], NOW)
    made = next(c for c in commands if isinstance(c, Create)).object
    assert made["spec"]["replicas"] == 1 and made["metadata"]["annotations"][templates.REVISION] == "2"


def test_old_pods_go_only_as_new_ones_become_available():
    old = sized(4, 4, name="old", image="v1")
    waiting = sized(1, 0, name="new", image="v2", desired=4, revision="2")
    assert "old" not in sizes(plan(at_revision(4, image="v2"), [old, waiting], [], NOW))
    ready = sized(1, 1, name="new", image="v2", desired=4, revision="2")
    assert sizes(plan(at_revision(4, image="v2"), [old, ready], [], NOW)) == {"old": 3}


def test_broken_old_pods_go_first():
    broken = sized(2, 0, name="broken", image="v1", desired=4, made="2027-01-15T07:59:00Z")
    good = sized(3, 3, name="good", image="v0", desired=4)
    new = sized(0, 0, name="new", image="v2", desired=4, revision="2")
    shrunk = numbers.old_sizes(at_revision(4, image="v2", unavailable=1), new, [broken, good])
    assert shrunk == {"broken": 0}


def test_a_rollout_never_leaves_its_limits():
    """Play a rollout to its end with pods that become ready one step late."""
    wanted = at_revision(10, image="v2", surge=3, unavailable=2)
    old, new = sized(10, 10, name="old", image="v1"), sized(0, 0, name="new", image="v2", desired=10, revision="2")
    for _ in range(60):
        for name, size in sizes(plan(wanted, [old, new], [], NOW)).items():
            changed_set = old if name == "old" else new
            changed_set["spec"]["replicas"] = size
        for held in (old, new):
            size = held["spec"]["replicas"]
            ready = min(held["status"]["availableReplicas"] + (held is new), size)
            held["status"] = {"replicas": size, "readyReplicas": ready, "availableReplicas": ready}
            held["metadata"]["annotations"].update({templates.DESIRED: "10", templates.MAX: "13"})
        assert old["spec"]["replicas"] + new["spec"]["replicas"] <= 13
        assert old["status"]["availableReplicas"] + new["status"]["availableReplicas"] >= 8
    assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, 10)


def test_recreate_waits_until_every_old_pod_has_gone():
    wanted = at_revision(2, image="v2", strategy={"type": "Recreate"})
    old = sized(2, 2, name="old", image="v1")
    assert sizes(plan(wanted, [old], [], NOW)) == {"old": 0}
    empty = sized(0, 0, name="old", image="v1", desired=2)
    still_there = pod("old-a", deleting=True, owner=empty)
    assert not [c for c in plan(wanted, [empty], [still_there], NOW) if isinstance(c, Create)]
    assert [c for c in plan(wanted, [empty], [], NOW) if isinstance(c, Create)]


def test_a_paused_one_takes_no_step_but_scales():
    old = sized(4, 4, name="old", image="v1")
    commands = plan(at_revision(4, image="v2", paused=True), [old], [], NOW)
    assert not [c for c in commands if isinstance(c, Create | Say)]
    assert sizes(plan(at_revision(6, image="v1", paused=True), [old], [], NOW)) == {"old": 6}


def test_scaling_in_the_middle_of_a_rollout_is_proportional():
    old = sized(8, 8, name="old", image="v1", desired=10)
    new = sized(2, 2, name="new", image="v2", desired=10, revision="2")
    for held in (old, new):
        held["metadata"]["annotations"][templates.MAX] = "10"
    assert numbers.proportional(at_revision(20, image="v2", surge=0, unavailable=1), [old, new]) == {
        "old": 16,
        "new": 4,
    }


def test_history_beyond_the_limit_goes_oldest_first():
    olds = [sized(0, 0, name=f"old{n}", image=f"o{n}", revision=str(n)) for n in (1, 2, 3)]
    new = sized(1, 1, name="new", image="v2", revision="4")
    wanted = at_revision(1, "4", image="v2", revisionHistoryLimit=1)
    gone = [c.key[1] for c in plan(wanted, [*olds, new], [], NOW) if isinstance(c, Delete)]
    assert gone == ["old1", "old2"]


def test_going_back_gives_the_old_replicaset_the_next_revision():
    first = sized(0, 0, name="first", image="v1", revision="1", desired=2)
    second = sized(2, 2, name="second", image="v2", revision="2")
    commands = plan(at_revision(2, image="v1"), [first, second], [], NOW)
    update = next(c for c in commands if isinstance(c, Update))
    assert update.object["metadata"]["annotations"][templates.REVISION] == "3"
    assert update.object["metadata"]["annotations"][templates.REVISION_HISTORY] == "1"


def settle(wanted, sets):
    """Write each status back until nothing is left to do."""
    for _ in range(5):
        update = next((c for c in plan(wanted, sets, [], NOW) if isinstance(c, Update)), None)
        if update is None:
            return wanted
        wanted = update.object
    raise AssertionError("it never settles")


def test_a_finished_rollout_settles_and_says_so():
    wanted = settle(at_revision(2, image="v2"), [sized(2, 2, name="new", image="v2", revision="2")])
    conditions = {c["type"]: (c["status"], c["reason"]) for c in wanted["status"]["conditions"]}
    assert conditions["Progressing"] == ("True", "NewReplicaSetAvailable")
    assert conditions["Available"] == ("True", "MinimumReplicasAvailable")
    assert plan(wanted, [sized(2, 2, name="new", image="v2", revision="2")], [], NOW) == []


def test_no_progress_until_the_deadline_is_told():
    stuck = [sized(2, 2, name="old", image="v1"), sized(1, 0, name="new", image="v2", desired=2, revision="2")]
    wanted = settle(at_revision(2, image="v2"), stuck)
    late = [c for c in plan(wanted, stuck, [], NOW + 700) if isinstance(c, Update)][-1]
    progressing = next(c for c in late.object["status"]["conditions"] if c["type"] == "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")


def test_percentages_round_surge_up_and_unavailable_down():
    assert numbers.fenceposts(changed(deployment(10, surge="25%", unavailable="25%"))) == (3, 2)
    assert numbers.fenceposts(deployment(1, surge="0%", unavailable="0%")) == (0, 1)


def test_replicasets_copy_what_users_say_and_not_what_was_noted():
    said = {"tiphys.io/on-failure": "pause", "tiphys.io/good-revision": "web-1", "team": "sea"}
    made = templates.annotations_for(deployment(1, annotations=said), None, 1)
    assert made == {"tiphys.io/on-failure": "pause", "team": "sea", "deployment.kubernetes.io/revision": "1"}
