"""gRPC calls over a socket: answers, streams, failures; and the bytes of other people's library."""

import asyncio
from contextlib import aclosing

import pytest

from tiphys.wire import grpc, unix_sockets
from tiphys.wire.grpc import RpcError, Target


async def echo(message):
    if message == b"fail":
        raise RpcError(9, "not now: 100 %\nof the time, ö")
    if message == b"break":
        raise ValueError("a mistake")
    yield message


async def many(message):
    for number in range(3):
        yield message + b"%d" % number


async def forever(message):
    yield message
    await asyncio.get_running_loop().create_future()


METHODS = {"/t.T/Echo": echo, "/t.T/Many": many, "/t.T/Forever": forever}


async def served(listener):
    await unix_sockets.called(listener)
    await grpc.serve(listener, METHODS)


def with_server(root, scenario):
    """Run `scenario(target)` against our own server."""

    async def main():
        path = root / "deep" / ("d" * 120) / "socket"
        path.parent.mkdir(parents=True)
        listener = unix_sockets.listen(path)
        task = asyncio.create_task(served(listener))
        try:
            return await asyncio.wait_for(scenario(Target(str(path))), 20)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            listener.close()

    return asyncio.run(main())


@pytest.mark.parametrize("message", [b"", b"hi", b"x" * 1_000_000])
def test_a_call_is_answered_however_long_it_is(tmp_path, message):
    assert with_server(tmp_path, lambda target: grpc.call(target, "/t.T/Echo", message, 10)) == message


def test_an_answer_may_be_many_messages(tmp_path):
    async def scenario(target):
        return [one async for one in grpc.answers(target, "/t.T/Many", b"a")]

    assert with_server(tmp_path, scenario) == [b"a0", b"a1", b"a2"]


def test_who_has_heard_enough_hangs_up(tmp_path):
    async def scenario(target):
        async with aclosing(grpc.answers(target, "/t.T/Forever", b"a")) as answers:
            return await anext(answers)

    assert with_server(tmp_path, scenario) == b"a"


@pytest.mark.parametrize(
    ("method", "message", "text"),
    [
        ("Echo", b"fail", "rpc error: code = FailedPrecondition desc = not now: 100 %\nof the time, ö"),
        ("None", b"", "rpc error: code = Unimplemented desc = unknown method /t.T/None"),
        ("Echo", b"break", "rpc error: code = Internal desc = a mistake"),
        ("Forever", b"", "rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
    ],
)
def test_failures_say_what_happened_as_everywhere(tmp_path, method, message, text):
    with pytest.raises(RpcError) as caught:
        with_server(tmp_path, lambda target: grpc.call(target, f"/t.T/{method}", message, 0.3))
    assert str(caught.value) == text


def test_nobody_listening_is_unavailable(tmp_path):
    with pytest.raises(RpcError, match=r"code = Unavailable .*dial unix .*: no such file or directory"):
        asyncio.run(grpc.call(Target(str(tmp_path / "none")), "/t.T/Echo", b"", 1))


# What grpcio 1.85 answers to one call: settings (also unknown ones), a wider window, headers by index, trailers.
FOREIGN = bytes.fromhex(
    "000018040000000000000400400000000500400000000600004000fe0300000001000004080000000000003f000100000004"
    "010000000000000408000000000000000009000008060000000000f0e82a437d6119d700005701050000000188400c636f6e"
    "74656e742d74797065106170706c69636174696f6e2f67727063400b677270632d7374617475730139000c677270632d6d65"
    "73736167651962254333254236733a20313030253235206e6f253041776179"
)


def test_the_bytes_of_another_library_are_understood():
    async def main():
        served = asyncio.Event()

        async def answer(reader, writer):
            await reader.readuntil(b"asked")
            writer.write(FOREIGN)
            await writer.drain()
            writer.transport.abort()
            served.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            try:
                return await grpc.call(Target(host="127.0.0.1", port=port), "/t.T/Echo", b"asked", 5)
            finally:
                await served.wait()

    with pytest.raises(RpcError) as caught:
        asyncio.run(main())
    assert (caught.value.code, caught.value.message) == (9, "bös: 100% no\nway")
