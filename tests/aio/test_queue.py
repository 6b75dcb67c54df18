"""The key queue loses no event, works on no key twice at once, and backs off."""

import asyncio

from tiphys.aio import virtual
from tiphys.aio.queue import Backoff, KeyQueue


async def test_a_key_waits_once():
    queue = KeyQueue()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1


async def test_a_key_added_during_work_comes_again_after_it():
    queue = KeyQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done(key)
    assert await queue.get() == "a"


async def test_two_workers_never_hold_one_key():
    queue, held, overlaps = KeyQueue(), set(), []

    async def worker():
        while True:
            key = await queue.get()
            overlaps.extend([key] if key in held else [])
            held.add(key)
            await asyncio.sleep(0)
            held.discard(key)
            queue.done(key)

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(worker()) for _ in range(3)]
        for _ in range(50):
            queue.add("a")
            queue.add("b")
            await asyncio.sleep(0)
        for task in workers:
            task.cancel()
    assert overlaps == []


def test_failures_double_the_delay_up_to_the_limit():
    backoff = Backoff(first_seconds=1, max_seconds=10)
    assert [backoff.delay(n) for n in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 10, 10]


def test_retries_come_later_and_success_resets():
    async def main():
        loop, queue = asyncio.get_running_loop(), KeyQueue(Backoff(1, 60))
        delays = [queue.retry("a")]
        assert await queue.get() == "a" and loop.time() == 1
        queue.done("a")
        delays.append(queue.retry("a"))
        await queue.get()
        queue.forget("a")
        queue.done("a")
        delays.append(queue.retry("a"))
        queue.close()
        return delays

    assert virtual.run(main()) == [1, 2, 1]


def test_the_earlier_appointment_stands():
    async def main():
        queue = KeyQueue()
        queue.add_after("a", 5)
        queue.add_after("a", 50)
        queue.add_after("b", 50)
        queue.add_after("b", 7)
        first = await queue.get(), asyncio.get_running_loop().time()
        second = await queue.get(), asyncio.get_running_loop().time()
        return first, second

    assert virtual.run(main()) == (("a", 5), ("b", 7))


async def test_a_cancelled_worker_passes_its_wake_up_on():
    queue = KeyQueue()
    first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


async def test_a_cancelled_worker_that_was_not_woken_takes_nothing_away():
    queue = KeyQueue()
    first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    queue.add("a")
    assert await asyncio.wait_for(second, 1) == "a"


async def test_closing_drops_the_appointments():
    queue = KeyQueue()
    queue.add_after("a", 0.01)
    queue.close()
    await asyncio.sleep(0.02)
    assert len(queue) == 0


async def test_an_appointment_for_now_needs_no_timer():
    queue = KeyQueue()
    queue.add_after("a", 0)
    assert len(queue) == 1


def test_failures_are_counted_for_each_key():
    async def main():
        queue = KeyQueue()
        queue.retry("a")
        queue.retry("a")
        queue.close()
        return queue.failures("a"), queue.failures("b")

    assert virtual.run(main()) == (2, 0)
