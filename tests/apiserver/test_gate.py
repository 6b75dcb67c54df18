"""The gate: so many at once, the others in line."""

from __future__ import annotations

import asyncio

import pytest

from tiphys.apiserver.gate import Gate


async def waiting(gate: Gate) -> asyncio.Task[bool]:
    task = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    return task


async def test_places_are_given_in_the_order_of_the_line():
    gate = Gate(1, 10)
    assert gate.enter_at_once()
    assert not gate.enter_at_once()
    first, second = await waiting(gate), await waiting(gate)
    gate.leave()
    assert await first and not second.done()
    gate.leave()
    assert await second
    gate.leave()
    assert gate.enter_at_once()


async def test_a_full_line_sends_away():
    gate = Gate(1, 1)
    assert await gate.enter()
    first = await waiting(gate)
    assert not await gate.enter()
    gate.leave()
    assert await first


async def test_who_gave_up_gets_no_place():
    gate = Gate(1, 10)
    assert gate.enter_at_once()
    first, second = await waiting(gate), await waiting(gate)
    first.cancel()
    gate.leave()
    assert await second
    gate.leave()
    assert gate.enter_at_once()


async def test_a_place_that_comes_with_the_cancellation_is_given_on():
    gate = Gate(1, 10)
    assert gate.enter_at_once()
    first = await waiting(gate)
    gate.leave()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert gate.enter_at_once()
