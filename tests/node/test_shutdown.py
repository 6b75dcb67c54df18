"""A machine that goes down ends its pods in turns, by priority, and takes no new ones."""

from node_builders import Box, new_pod, on_a_node, phase
from tiphys.api import resources
from tiphys.node.shutdown import MESSAGE, Turn, ending, groups, turns

NODES = resources.get("", "v1", "nodes")
CRITICAL = 2_000_001_000


def pod(name, priority=0, grace=30):
    return new_pod(name, priority=priority, terminationGracePeriodSeconds=grace)


def test_critical_pods_have_the_last_part_of_the_time():
    assert turns(30, 10) == (Turn(0, 20), Turn(2_000_000_000, 10))
    assert turns(0, 10) == ()
    assert turns(5, 10) == (Turn(0, 0), Turn(2_000_000_000, 5))


def test_pods_end_with_the_highest_turn_that_is_not_above_them():
    low, high = pod("low", -5), pod("high", CRITICAL)
    assert groups([high, low], turns(30, 10)) == [(Turn(0, 20), [low]), (Turn(2_000_000_000, 10), [high])]
    assert groups([high], turns(30, 10)) == [(Turn(2_000_000_000, 10), [high])]


def test_nobody_has_more_than_its_turn_or_its_own_grace():
    assert ending(pod("a", grace=60), Turn(0, 20), 100.0).deadline == 120.0
    assert ending(pod("a", grace=5), Turn(0, 20), 100.0).deadline == 105.0


def test_settled_means_no_groups():
    assert groups([], turns(30, 10)) == []


def test_pods_are_told_why_they_end_and_new_ones_are_refused(tmp_path):
    async def scenario(box: Box):
        made = [await box.create(pod(name, priority)) for name, priority in (("critical", CRITICAL), ("plain", 0))]
        await box.ready("critical")
        await box.ready("plain")
        await box.agent.shut_down()
        stopped = [run for verb, run in box.runtime.calls if verb == "stop"]
        assert stopped == [box.run_id(made[1]), box.run_id(made[0])], "the critical one came later"
        status = await box.until(phase("Failed"), "plain")
        assert (status["reason"], status["message"]) == ("Terminated", MESSAGE)
        disrupted = next(c for c in status["conditions"] if c["type"] == "DisruptionTarget")
        assert (disrupted["status"], disrupted["reason"]) == ("True", "TerminationByKubelet")
        await box.until(phase("Failed"), "critical")
        await box.create(pod("late"))
        assert (await box.until(phase("Failed"), "late"))["reason"] == "NodeShutdown"
        node = await box.client.get(NODES, "n1")
        ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
        assert (ready["status"], ready["message"]) == ("False", "node is shutting down")

    on_a_node(tmp_path, scenario, shutdown_seconds=20.0, shutdown_critical_seconds=10.0)


def test_without_time_for_it_nothing_ends(tmp_path):
    async def scenario(box: Box):
        await box.create(pod("plain"))
        await box.ready("plain")
        await box.agent.shut_down()
        assert (await box.status("plain"))["phase"] == "Running"

    on_a_node(tmp_path, scenario)
