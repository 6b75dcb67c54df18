"""Real kubectl of every age that this machine has, against the node's server."""

import asyncio
import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from stream_builders import Kubectl
from tiphys.api import errors
from tiphys.wire import link

NEWEST = shutil.which("kubectl")
FOUND = {NEWEST: None} if NEWEST else {}
if NEWEST:
    FOUND |= dict.fromkeys(str(path) for path in sorted(Path(NEWEST).resolve().parent.glob("kubectl.1.*")))
WAYS = [(path, way) for path in FOUND for way in ("true", "false")]

pytestmark = pytest.mark.skipif(not FOUND, reason="no kubectl on this machine")
every_kubectl = pytest.mark.parametrize(("path", "websocket"), WAYS, ids=lambda value: Path(value).name)


few_kubectls = pytest.mark.parametrize(
    ("path", "websocket"), [*WAYS[2:4], *WAYS[-2:]], ids=lambda value: Path(value).name
)


def refuse(message):
    raise errors.failure(404, "NotFound", message)


@pytest.fixture
async def kubectl(cluster, tmp_path):
    calls = Kubectl(cluster.port, tmp_path / "cache")
    yield calls
    await calls.close()


@pytest.fixture
def kubectl_started(kubectl):
    """A port-forward that goes on; gives the local port."""

    async def begin(*words):
        process = await kubectl.begin(*words)
        line = await asyncio.wait_for(process.stdout.readline(), 10)
        return int(line.split()[2].rpartition(b":")[2])

    return begin


@pytest.fixture
async def echo():
    """A server that gives back what it got, once the client has ended."""

    async def answer(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@every_kubectl
async def test_exec_gives_output_input_and_exit_code(kubectl, path, websocket):
    script = "cat; echo trouble >&2; exit 7"
    code, out, err = await kubectl(path, websocket, "exec", "-i", "web", "--", "sh", "-c", script, stdin=b"x" * 200_000)
    assert (code, len(out), err[:500]) == (7, 200_000, err[:500]), err
    assert "trouble" in err and "exit code 7" in err


@every_kubectl
async def test_port_forward_carries_many_connections(kubectl_started, echo, path, websocket):
    port = await kubectl_started(path, websocket, "port-forward", "pod/web", f":{echo}")
    text = os.urandom(300_000)

    async def ask():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text)
        writer.write_eof()
        answer = await reader.read()
        while more := await reader.read():
            answer += more
        writer.close()
        return answer == text

    assert await asyncio.wait_for(asyncio.gather(*[ask() for _ in range(5)]), 20) == [True] * 5


@every_kubectl
async def test_port_forward_tells_that_nobody_listens(kubectl_started, path, websocket):
    port = await kubectl_started(path, websocket, "port-forward", "pod/web", ":1")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


@few_kubectls
async def test_exec_brings_all_of_a_large_output(kubectl, path, websocket):
    script = "head -c 5000000 /dev/zero"
    code, out, _ = await kubectl(path, websocket, "exec", "web", "--", "sh", "-c", script)
    assert (code, len(out)) == (0, 5_000_000)


@few_kubectls
async def test_exec_that_cannot_start_says_why(kubectl, here, path, websocket):
    here.running = lambda *_: refuse('container not found ("c")')
    code, _, err = await kubectl(path, websocket, "exec", "web", "--", "true")
    assert code == 1 and 'container not found ("c")' in err


@few_kubectls
async def test_attach_speaks_with_the_containers_own_process(kubectl, runtime, path, websocket):
    runtime.attached = ["sh", "-c", "read line; echo got $line; sleep 0.2"]
    _, out, err = await kubectl(path, websocket, "attach", "-i", "web", stdin=b"word\n")
    assert (out, err.count("rror")) == (b"got word\n", 0)


@few_kubectls
async def test_cp_goes_both_ways(kubectl, tmp_path, path, websocket):
    (tmp_path / "here").write_bytes(content := os.urandom(500_000))
    there, back = tmp_path / "there", tmp_path / "back"
    there.mkdir()
    first = await kubectl(path, websocket, "cp", str(tmp_path / "here"), f"shop/web:{there}/file")
    second = await kubectl(path, websocket, "cp", f"shop/web:{there}/file", str(back))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert (there / "file").read_bytes() == back.read_bytes() == content


@few_kubectls
async def test_logs_pass_their_options(kubectl, here, path, websocket):
    code, out, _ = await kubectl(path, websocket, "logs", "web", "--tail", "3", "--timestamps", "--previous")
    assert (code, out) == (0, b"hello\n")
    assert (here.asked[0].tail, here.asked[0].timestamps, here.asked[0].previous) == (3, True, True)


@few_kubectls
async def test_a_client_that_vanishes_ends_its_exec(kubectl, runtime, path, websocket):
    asking = asyncio.ensure_future(kubectl(path, websocket, "exec", "web", "--", "sleep", "60"))
    await asyncio.wait_for(runtime.started.wait(), 10)
    kubectl.processes[-1].kill()
    await asyncio.wait_for(runtime.processes[0].wait(), 10)
    await asking
    assert runtime.processes[0].killed


@few_kubectls
async def test_a_client_that_vanishes_while_nobody_takes_its_input_ends_its_exec(
    kubectl, node, runtime, path, websocket, monkeypatch
):
    monkeypatch.setattr(link, "CLOSING_SECONDS", 0.1)
    node.inner._limits = dataclasses.replace(node.inner._limits, ping_seconds=0.1)
    asking = asyncio.ensure_future(
        kubectl(path, websocket, "exec", "-i", "web", "--", "sleep", "60", stdin=bytes(10**7))
    )
    await asyncio.wait_for(runtime.started.wait(), 10)
    await asyncio.sleep(0.5)
    kubectl.processes[-1].kill()
    await asyncio.wait_for(runtime.processes[0].wait(), 10)
    await asking
    assert runtime.processes[0].killed
