"""Who gives way when memory runs out, and that the node says so."""

import asyncio

from node_builders import container, new_pod, on_a_node, phase
from tiphys.node import eviction
from tiphys.node.eviction import Candidate, victim
from tiphys.runtime.door import Usage


def using(name, used, requested=0, priority=0):
    return Candidate(new_pod(name, priority=priority), used, requested)


def test_who_uses_more_than_it_asked_for_goes_first():
    modest, greedy = using("modest", 500, requested=600), using("greedy", 100, requested=50, priority=9)
    assert victim([modest, greedy]) is greedy


def test_then_the_lowest_priority_and_the_largest_excess():
    high, low, larger = using("high", 900, priority=5), using("low", 100), using("larger", 200)
    assert victim([high, low, larger]) is larger
    assert victim([]) is None


def test_a_node_short_of_memory_evicts_the_greediest_pod(tmp_path, monkeypatch):
    async def scenario(box):
        small = await box.create(new_pod("small"))
        large = await box.create(new_pod("large", containers=[container()]))
        await box.ready("small")
        await box.ready("large")
        box.runtime.used[box.run_id(small)] = Usage(0, 10, 10, 1)
        box.runtime.used[box.run_id(large)] = Usage(0, 99, 99, 1)
        runs = box.runtime.specs
        short = {"MemAvailable": 1024}
        monkeypatch.setattr(eviction, "memory_info", lambda: short if len(runs()) == 2 else {"MemAvailable": 1 << 40})
        status = await box.until(phase("Failed"), "large")
        assert status["reason"] == "Evicted" and "low on resource: memory" in status["message"]
        assert [c["type"] for c in status["conditions"]].count("DisruptionTarget") == 1
        assert (await box.status("small"))["phase"] == "Running"

    on_a_node(tmp_path, scenario)


def test_a_trigger_of_the_kernel_can_be_set_or_is_said_to_be_missing():
    async def scenario():
        handle = eviction.open_trigger()
        assert handle is None or handle > 0
        if handle is not None:
            eviction.os.close(handle)

    asyncio.run(scenario())


def test_an_empty_dir_may_not_outgrow_its_limit(tmp_path):
    pod = new_pod(volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "4Ki"}}, {"name": "free", "emptyDir": {}}])
    limits = eviction.limits_of(pod)
    assert limits == {"cache": "4Ki"} and eviction.outgrown(limits, {"cache": str(tmp_path)}) == ""
    (tmp_path / "big").write_bytes(b"x" * 9000)
    text = 'Usage of EmptyDir volume "cache" exceeds the limit "4Ki". '
    assert eviction.outgrown(limits, {"cache": str(tmp_path)}) == text


def test_a_pod_that_comes_after_a_look_is_not_left_until_the_next_rare_one(tmp_path):
    async def scenario(box):
        await asyncio.sleep(1)
        pod = await box.create(new_pod(volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "4Ki"}}]))
        await box.ready()
        (volume,) = box.root.glob(f"**/{pod['metadata']['uid']}/volumes/*/cache")
        (volume / "big").write_bytes(b"x" * 9000)
        began = box.now()
        assert (await box.until(phase("Failed")))["reason"] == "Evicted"
        assert box.now() - began <= eviction.LIMIT_LOOK_SECONDS

    on_a_node(tmp_path, scenario)
