"""A node that is short of something: it says so, refuses pods, collects images, and lets one pod after another go."""

import asyncio

import pytest

from node_builders import EVENTS, container, new_pod, on_a_node, phase
from tiphys.node.pressure import signals, watcher
from tiphys.node.pressure import thresholds as t
from tiphys.node.pressure.thresholds import Observation
from tiphys.runtime.door import Usage

PLENTY = {t.MEMORY: Observation(4 << 30, 8 << 30), t.IMAGE_BYTES: Observation(80, 100), t.PIDS: Observation(9, 10)}
NO_MEMORY = {**PLENTY, t.MEMORY: Observation(1024, 8 << 30)}
NO_DISK = {**PLENTY, t.IMAGE_BYTES: Observation(9, 100)}
HARD = {"eviction_hard": t.DEFAULT_HARD}


@pytest.fixture
def machine(monkeypatch):
    """`machine.update(…)` is what the kernel tells from then on."""
    seen = dict(PLENTY)
    monkeypatch.setattr(signals, "observe", lambda *_: dict(seen))
    return seen


async def running(box, name, used, **fields):
    pod = await box.create(new_pod(name, **fields))
    await box.ready(name)
    box.runtime.used[box.run_id(pod)] = Usage(0, used, used, 1)


def test_a_node_short_of_memory_evicts_the_greediest_pod_and_no_other_meanwhile(tmp_path, machine):
    async def scenario(box):
        await running(box, "small", 10)
        await running(box, "large", 99)
        machine.update(NO_MEMORY)
        status = await box.until(phase("Failed"), "large")
        machine.update(PLENTY)
        assert status["reason"] == "Evicted" and "low on resource: memory" in status["message"]
        assert [c["type"] for c in status["conditions"]].count("DisruptionTarget") == 1
        await asyncio.sleep(watcher.CLEARING_SECONDS_MAX)
        assert (await box.status("small"))["phase"] == "Running"
        await box.events()
        told = (await box.client.list(EVENTS, "default")).items
        assert ("EvictionThresholdMet", "Attempting to reclaim memory") in [(e["reason"], e["message"]) for e in told]

    on_a_node(tmp_path, scenario, **HARD)


def test_a_pod_that_comes_to_a_node_under_pressure_is_refused(tmp_path, machine):
    async def scenario(box):
        machine.update(NO_DISK)
        await asyncio.sleep(watcher.LOOK_SECONDS)
        await box.create(new_pod())
        status = await box.until(phase("Failed"))
        assert (status["reason"], status["message"]) == (
            "Evicted",
            "Pod was rejected: The node had condition: [DiskPressure]. ",
        )

    on_a_node(tmp_path, scenario, **HARD)


def test_unused_images_go_before_pods_do(tmp_path, machine):
    async def scenario(box):
        await running(box, "web", 1)
        pulled = box.runtime.add_image("app:3")
        box.agent.parts.images.on_pulled(pulled, True)
        await asyncio.sleep(200)
        machine.update(NO_DISK)
        await asyncio.sleep(watcher.LOOK_SECONDS)
        assert await box.runtime.image("app:3") is None and await box.runtime.image("app:1") is not None

    on_a_node(tmp_path, scenario, **HARD)


def test_a_pod_that_comes_after_a_look_is_not_left_until_the_next_rare_one(tmp_path):
    async def scenario(box):
        await asyncio.sleep(1)
        pod = await box.create(new_pod(volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "4Ki"}}]))
        await box.ready()
        (volume,) = box.root.glob(f"**/{pod['metadata']['uid']}/volumes/*/cache")
        (volume / "big").write_bytes(b"x" * 9000)
        began = box.now()
        assert (await box.until(phase("Failed")))["reason"] == "Evicted"
        assert box.now() - began <= watcher.LIMIT_LOOK_SECONDS

    on_a_node(tmp_path, scenario)


def test_what_a_container_writes_counts_against_its_limit(tmp_path):
    async def scenario(box):
        box.runtime.layers = tmp_path / "layers"
        limits = {"limits": {"ephemeral-storage": "4Ki"}}
        pod = await box.create(new_pod(containers=[container(resources=limits)]))
        await box.ready()
        layer = box.runtime.layer(box.run_id(pod))
        layer.mkdir(parents=True)
        (layer / "big").write_bytes(b"x" * 9000)
        status = await box.until(phase("Failed"))
        assert status["message"].startswith("Pod ephemeral local storage usage exceeds the total limit")

    on_a_node(tmp_path, scenario)


def test_the_fuller_a_disk_is_the_sooner_it_is_looked_at():
    rules = t.parse("nodefs.available<10%")
    full, empty = Observation(15 << 30, 100 << 30), Observation(90 << 30, 100 << 30)
    assert signals.seconds_to_next_look(rules, {t.NODE_BYTES: empty}, at_most=60) == 60
    assert 5 < signals.seconds_to_next_look(rules, {t.NODE_BYTES: full}, at_most=60) < 20


def test_this_machine_can_be_observed(tmp_path):
    seen = signals.observe(tmp_path, tmp_path / "none")
    assert {t.MEMORY, t.NODE_BYTES, t.PIDS} <= seen.keys() and t.IMAGE_BYTES not in seen
    assert all(0 <= one.available <= one.capacity for one in seen.values())


def test_a_trigger_of_the_kernel_can_be_set_or_is_said_to_be_missing():
    async def scenario():
        handle = signals.open_trigger()
        assert handle is None or handle > 0
        if handle is not None:
            signals.os.close(handle)

    asyncio.run(scenario())
