"""Two connections joined: what each end sees."""

import asyncio

from stream_builders import pipe
from tiphys.aio import virtual
from tiphys.wire.relay import relay


async def joined(**options):
    (client, left), (server, right) = pipe(), pipe()
    return client, server, asyncio.ensure_future(relay(left, right, **options))


async def test_bytes_and_ends_go_both_ways():
    client, server, task = await joined()
    await client.write(b"ask")
    await client.close_output()
    assert (await server.read(), await server.read()) == (b"ask", b"")
    await server.write(b"answer")
    await server.close_output()
    assert (await client.read(), await client.read()) == (b"answer", b"")
    await task


async def test_a_break_of_one_side_ends_the_other():
    client, server, task = await joined()
    await client.tear()
    await asyncio.wait_for(task, 5)
    assert await server.read() == b""


def test_a_half_that_goes_on_is_not_cut_while_bytes_come():
    async def main():
        client, server, task = await joined(half_closed_seconds=60.0)
        await client.close_output()
        for _ in range(6):
            await server.write(b"x")
            assert await client.read() == b"x"
            await asyncio.sleep(40.0)
        assert not task.done()
        await server.close_output()
        await task

    virtual.run(main())


def test_a_half_that_is_silent_is_cut():
    async def main():
        client, _, task = await joined(half_closed_seconds=60.0)
        await client.close_output()
        await task
        assert await client.read() == b""
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == 60.0


async def test_a_slow_side_makes_the_other_wait():
    client, _, task = await joined()
    writing = asyncio.ensure_future(client.write(b"x" * 1_000_000))
    await asyncio.sleep(0.02)
    assert not writing.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
