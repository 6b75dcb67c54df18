"""In which order pods are tried, and what wakes those that wait."""

import asyncio

from builders import pod
from tiphys.aio import virtual
from tiphys.scheduler.queue import SchedulingQueue


def key(obj):
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def queued(*pods):
    queue = SchedulingQueue()
    for each in pods:
        queue.put(key(each), each)
    return queue


def name(waiting):
    return waiting.pod["metadata"]["name"] if waiting is not None else None


async def next_of(queue):
    while (waiting := queue.pop()) is None:
        await queue.ready()
    return waiting


def test_the_important_come_first_and_then_who_came_first():
    queue = queued(pod("a"), pod("b"), pod("c", priority=5))
    assert [name(queue.pop()) for _ in range(4)] == ["c", "a", "b", None]


def test_a_pod_that_was_dropped_is_not_tried():
    queue = queued(pod("a"))
    queue.drop(key(pod("a")))
    assert queue.pop() is None and len(queue) == 0


def test_a_refused_pod_waits_for_what_can_help_it():
    queue = queued(pod("a"))
    queue.refuse(queue.pop(), frozenset(("Insufficient cpu",)))
    queue.wake(lambda waiting: "Too many pods" in waiting.reasons)
    assert queue.pop() is None
    queue.wake(lambda waiting: "Insufficient cpu" in waiting.reasons)
    assert name(queue.pop()) == "a"


def test_a_changed_spec_is_worth_another_attempt():
    queue = queued(pod("a"))
    queue.refuse(queue.pop(), frozenset(("Insufficient cpu",)))
    queue.put(key(pod("a")), pod("a", ready=False))
    assert queue.pop() is None
    queue.put(key(pod("a")), pod("a", nodeSelector={"disk": "ssd"}))
    assert name(queue.pop()) == "a"


def test_pods_that_fail_again_and_again_wait_longer():
    async def story():
        queue = queued(pod("a"))
        loop, waits = asyncio.get_running_loop(), []
        waiting = await next_of(queue)
        for _ in range(3):
            started = loop.time()
            queue.fail(waiting)
            waiting = await next_of(queue)
            waits.append(loop.time() - started)
        queue.close()
        return waits

    waits = virtual.run(story())
    assert waits[0] == 0 and 0 < waits[1] < waits[2]


def test_a_pod_that_was_tried_long_ago_is_tried_at_once():
    async def story():
        loop = asyncio.get_running_loop()
        queue = SchedulingQueue(loop.time)
        queue.put(key(pod("a")), pod("a"))
        for _ in range(5):
            queue.refuse(await next_of(queue), frozenset(("Insufficient cpu",)))
            await asyncio.sleep(60)
            queue.wake(lambda waiting: True)
        return queue.pop()

    assert name(virtual.run(story())) == "a"


def test_other_labels_are_worth_another_attempt():
    queue = queued(pod("a"))
    queue.refuse(queue.pop(), frozenset(("Insufficient cpu",)))
    queue.put(key(pod("a")), pod("a", labels={"app": "other"}))
    assert name(queue.pop()) == "a"


def test_an_event_asks_only_those_whom_it_is_about():
    queue, asked = queued(pod("a"), pod("b")), []
    for reason in ("Insufficient cpu", "Too many pods"):
        queue.refuse(queue.pop(), frozenset((reason,)))
    queue.wake(lambda waiting: asked.append(name(waiting)), about=["Too many pods"])
    assert asked == ["b"]
    queue.drop(key(pod("b")))
    queue.wake(lambda waiting: asked.append(name(waiting)), about=["Too many pods"])
    assert asked == ["b"] and not queue._by_reason.get("Too many pods")
