"""Lifecycle hooks by themselves, and checks chosen by their kind."""

import asyncio

from node_builders import container
from tiphys.aio import virtual
from tiphys.node.hooks import run_hook
from tiphys.node.probes.checks import Subject, check, http_target
from tiphys.runtime.fake import FakeRuntime

CONTAINER = container(ports=[{"name": "web", "containerPort": 8080}])


def subject():
    return Subject(FakeRuntime(), CONTAINER, "run", "10.42.0.2")


def test_a_sleep_lasts_at_most_as_long_as_there_is_time():
    async def timed(hook, timeout):
        began = asyncio.get_running_loop().time()
        assert (await run_hook(subject(), hook, timeout)).passed
        return asyncio.get_running_loop().time() - began

    assert virtual.run(timed({"sleep": {"seconds": 5}}, 30.0)) == 5
    assert virtual.run(timed({"sleep": {"seconds": 50}}, 30.0)) == 30


async def test_a_hook_of_no_kind_fails():
    outcome = await run_hook(subject(), {"tcpSocket": {"port": 1}})
    assert not outcome.passed and outcome.output == "invalid handler: tcpSocket"


async def test_a_command_in_a_container_that_is_gone_fails():
    outcome = await run_hook(subject(), {"exec": {"command": ["x"]}})
    assert not outcome.passed and "no container run" in outcome.output


async def test_a_port_that_nobody_declared_fails_the_check():
    outcome = await check(subject(), {"httpGet": {"port": "nope"}}, 1.0)
    assert outcome.output == "couldn't find port: nope"


def test_an_http_check_goes_to_the_pod_unless_told_otherwise():
    action = {"port": "web", "scheme": "HTTPS", "path": "healthz", "httpHeaders": [{"name": "A", "value": "b"}]}
    target = http_target(subject(), action)
    assert target.url == "https://10.42.0.2:8080/healthz" and target.headers == [("A", "b")]
    assert http_target(subject(), {**action, "host": "other"}).host == "other"


async def test_an_http_hook_is_heard_whatever_the_status():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hook = {"httpGet": {"host": "127.0.0.1", "port": port}}
    assert (await run_hook(subject(), hook, 5.0)).passed
    server.close()
    await server.wait_closed()
    assert not (await run_hook(subject(), hook, 5.0)).passed
