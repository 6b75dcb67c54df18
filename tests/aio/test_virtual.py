"""Time that jumps: waiting costs nothing, order is kept, and what can never happen is found."""

import asyncio
import time

import pytest

from tiphys.aio import virtual


def test_ten_minutes_cost_nothing_and_both_clocks_go_on():
    async def main():
        loop = asyncio.get_running_loop()
        before = loop.time(), loop.now()
        await asyncio.sleep(600)
        return before, (loop.time(), loop.now())

    began = time.monotonic()
    assert virtual.run(main()) == ((0, virtual.EPOCH), (600, virtual.EPOCH + 600))
    assert time.monotonic() - began < 5


def test_timers_come_in_their_order():
    async def main():
        order = []

        async def wait(seconds):
            await asyncio.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(*(wait(seconds) for seconds in (3, 1, 2)))
        return order

    assert virtual.run(main()) == [1, 2, 3]


def test_a_timeout_comes_when_it_is_due():
    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().create_future(), 30)
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == 30


def test_a_wait_for_nothing_is_a_deadlock():
    async def wait_for_ever():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        virtual.run(wait_for_ever())


def test_work_for_a_thread_is_done_on_the_spot():
    async def main():
        assert await asyncio.to_thread(max, 1, 2) == 2
        with pytest.raises(ValueError):
            await asyncio.to_thread(int, "none")

    virtual.run(main())
