"""Images that go for want of space, and those that never do."""

import asyncio

from tiphys.node.pressure.image_garbage import AGE_SECONDS_MIN, ImageGarbage, excess
from tiphys.node.pressure.thresholds import Observation
from tiphys.runtime.door import ContainerSpec
from tiphys.runtime.fake import FakeRuntime, SandboxSpec

FULL = Observation(available=10, capacity=100)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def garbage(tmp_path, *pulled):
    clock, runtime = Clock(), FakeRuntime()
    found = ImageGarbage(runtime, tmp_path / "pulled.json", clock)
    for name in pulled:
        found.pulled(runtime.add_image(name))
        clock.now += 1
    return found, runtime, clock


def names(runtime):
    return [name for image in asyncio.run(runtime.images()) for name in image.names]


def test_above_the_high_share_the_low_one_is_aimed_at():
    assert excess(Observation(16, 100)) == 0 and excess(FULL) == 10


def test_the_longest_unused_image_goes_first_and_no_more_than_needed(tmp_path):
    found, runtime, clock = garbage(tmp_path, "old:1", "new:1")
    clock.now += AGE_SECONDS_MIN
    assert asyncio.run(found.free(1)) == 1_000_000
    assert names(runtime) == ["docker.io/library/new:1"]


def test_what_was_loaded_or_built_here_stays(tmp_path):
    found, runtime, clock = garbage(tmp_path)
    runtime.add_image("built:1")
    clock.now += AGE_SECONDS_MIN
    assert asyncio.run(found.free(1 << 40)) == 0 and names(runtime)


def test_an_image_in_use_and_a_fresh_one_stay(tmp_path):
    found, runtime, clock = garbage(tmp_path, "used:1")

    async def scenario():
        await runtime.create_sandbox(SandboxSpec("box", "box", "pod-box"))
        await runtime.prepare(ContainerSpec("c", "box", "c", "used:1", ""))
        clock.now += AGE_SECONDS_MIN
        found.pulled(runtime.add_image("fresh:1"))
        return await found.free(1 << 40)

    assert asyncio.run(scenario()) == 0 and len(names(runtime)) == 2


def test_a_restart_remembers_what_was_pulled(tmp_path):
    garbage(tmp_path, "a:1")
    again, runtime, clock = garbage(tmp_path)
    runtime.add_image("a:1")
    again.open()
    assert asyncio.run(again.free(1)) == 0, "a restart counts as a use"
    clock.now += AGE_SECONDS_MIN
    assert asyncio.run(again.free(1)) == 1_000_000


def test_too_little_is_told_once_and_tried_again_later(tmp_path):
    found, _, _ = garbage(tmp_path)
    told = []
    for _ in range(2):
        asyncio.run(found.collect(FULL, lambda reason, text: told.append((reason, text))))
    assert [reason for reason, _ in told] == ["FreeDiskSpaceFailed"] and "only found 0 bytes" in told[0][1]
