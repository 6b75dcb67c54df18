"""Each kind of check against a real listener, and how many make a verdict."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from tiphys.node.probes import grpc, http, tcp
from tiphys.node.probes.checks import NoSuchPort, port_of
from tiphys.node.probes.command import check as check_command
from tiphys.node.probes.outcome import Outcome, Tally, timing_of
from tiphys.runtime.door import ContainerSpec, SandboxSpec
from tiphys.runtime.fake import Answer, FakeRuntime
from tiphys.wire import grpc as wire_grpc


class Listener:
    """Answers every connection with the same bytes; `asked` is what came in."""

    def __init__(self, answer):
        self.answer, self.asked, self.served = answer, b"", []

    async def _serve(self, reader, writer):
        self.served.append(asyncio.current_task())
        self.asked = await reader.read(65536)
        writer.write(self.answer)
        writer.close()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await asyncio.sleep(0.001)
        await asyncio.wait_for(asyncio.gather(*self.served), 2)


def answered(status, extra=""):
    return f"HTTP/1.1 {status} X\r\n{extra}Content-Length: 2\r\n\r\nok".encode()


async def ask(listener, path="/healthz", **fields):
    return await http.check(http.Target("http", "127.0.0.1", listener.port, path, **fields), 1.0)


@pytest.mark.parametrize("status, passed", [(200, True), (399, True), (400, False), (500, False)])
async def test_http_is_healthy_from_200_to_399(status, passed):
    async with Listener(answered(status)) as listener:
        outcome = await ask(listener)
    assert outcome.passed is passed
    assert passed or outcome.output == f"HTTP probe failed with statuscode: {status}"


async def test_http_sends_the_given_headers_over_its_own():
    async with Listener(answered(200)) as listener:
        await ask(listener, headers=[("Host", "shop"), ("X-A", "1")])
    assert b"Host: shop\r\n" in listener.asked and b"X-A: 1\r\n" in listener.asked
    assert listener.asked.count(b"Host:") == 1


async def test_a_redirect_to_another_host_passes_with_a_warning():
    async with Listener(answered(302, "Location: http://elsewhere.example/\r\n")) as listener:
        outcome = await ask(listener)
    assert outcome.passed and outcome.warning


async def test_a_closed_port_is_refused_in_gos_words():
    async with Listener(b"") as listener:
        port = listener.port
    target = http.Target("http", "127.0.0.1", port, "/")
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert (await http.check(target, 1.0)).output == f'Get "{target.url}": {refused}'
    assert (await tcp.check("127.0.0.1", port, 1.0)).output == refused


async def test_what_is_not_http_fails():
    async with Listener(b"SSH-2.0-x\r\n\r\n") as listener:
        assert not (await ask(listener)).passed


async def test_tcp_asks_only_for_a_connection():
    async with Listener(b"") as listener:
        assert (await tcp.check("127.0.0.1", listener.port, 1.0)).passed


@asynccontextmanager
async def health_service(status, path="/grpc.health.v1.Health/Check"):
    """A server in the container's place; gives its port and what it was asked."""
    asked = []

    async def check(message):
        asked.append(message)
        if status is None:
            await asyncio.get_running_loop().create_future()
        yield bytes([8, status])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        serving = asyncio.create_task(wire_grpc.serve(listener, {path: check}))
        try:
            yield listener.getsockname()[1], asked
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (1, "service healthy"),
        (2, 'service unhealthy (responded with "NOT_SERVING")'),
        (None, "timeout: health rpc did not complete within 0.3s"),
    ],
)
async def test_grpc_reads_the_health_service(status, text):
    async with health_service(status) as (port, asked):
        outcome = await grpc.check("127.0.0.1", port, "db", 0.3)
    assert outcome == Outcome(status == 1, text)
    assert asked == [b"\x0a\x02db"]


async def test_grpc_without_a_health_service_says_so():
    async with health_service(1, "/other.Service/Check") as (port, _):
        outcome = await grpc.check("127.0.0.1", port, "", 1.0)
    text = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown method"
    assert not outcome.passed and outcome.output.startswith(text)


async def test_grpc_where_nobody_or_somebody_else_listens_says_so():
    async with Listener(answered(200)) as listener:
        outcome = await grpc.check("127.0.0.1", listener.port, "", 1.0)
    assert not outcome.passed and outcome.output.startswith("error: health rpc probe failed: rpc error:")
    outcome = await grpc.check("127.0.0.1", listener.port, "", 1.0)
    where = f"127.0.0.1:{listener.port}"
    text = f'error: failed to connect service "{where}": dial tcp {where}: connect: connection refused'
    assert outcome == Outcome(False, text)


async def runtime_with(answer):
    runtime = FakeRuntime()
    runtime.when_executed = lambda id_, command: answer
    runtime.add_image("app:1")
    await runtime.create_sandbox(SandboxSpec("s", "h", "c"))
    await runtime.prepare(ContainerSpec("r", "s", "c", "app:1", "/dev/null"))
    await runtime.start("r")
    return runtime


async def test_a_command_passes_with_exit_code_zero():
    outcome = await check_command(await runtime_with(Answer(0, b"fine")), "r", ["ok"], 1.0)
    assert outcome.passed and outcome.output == "fine"


async def test_a_command_that_hangs_is_killed():
    runtime = await runtime_with(Answer(None))
    outcome = await check_command(runtime, "r", ["sleep", "9"], 0.01)
    assert outcome.output == 'command timed out: "sleep 9" timed out after 0.01s'
    assert await runtime.processes[0].wait() == 137


def test_a_verdict_needs_enough_equal_outcomes_in_a_row():
    tally = Tally(timing_of({"failureThreshold": 2}))
    assert [tally.add(passed=passed) for passed in (False, True, False, False)] == [None, True, None, False]


def test_a_port_may_be_named():
    container = {"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}
    assert port_of(container, "web") == 8080 and port_of(container, 9) == 9
    with pytest.raises(NoSuchPort, match="couldn't find port: nope"):
        port_of(container, "nope")
