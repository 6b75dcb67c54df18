"""kubectl in real containers: crun, conmon and network namespaces behind the node's server."""

import asyncio
import fcntl
import os
import pty
import shutil
import signal
import struct
import termios

import pytest

from host_builders import real_box
from node_builders import container, new_pod
from stream_builders import Cluster, Kubectl
from tiphys.node.server.handler import NodeHandler
from tiphys.wire.server import start

KUBECTL = shutil.which("kubectl")
SERVING = "mkdir -p /tmp/w; echo hello > /tmp/w/index.html; httpd -f -p 80 -h /tmp/w & trap 'exit 0' TERM; wait"
READING = "while read line; do echo got $line; done; trap 'exit 0' TERM; while true; do sleep 0.1; done"

pytestmark = [pytest.mark.host, pytest.mark.skipif(KUBECTL is None, reason="no kubectl on this machine")]
both_ways = pytest.mark.parametrize("websocket", ["true", "false"])


@pytest.fixture
async def kubectl(tmp_path, host_lock, own_network):
    """`kubectl.box` is the node."""
    async with real_box(tmp_path) as box:
        inner = NodeHandler(box.agent.here, box.runtime, lambda _: True)

        async def handler(request):
            request.certificate = b"the API server's"
            return await inner(request)

        node = await start(handler)
        cluster = Cluster(box.agent.here, node.port)
        api = await start(cluster)
        calls = Kubectl(api.port, tmp_path / "cache")
        calls.box = box
        yield calls
        await calls.close()
        await api.close()
        await node.close()
        await cluster.pool.close()


async def running(kubectl, script, **fields):
    await kubectl.box.create(new_pod(containers=[container(command=["sh", "-c", script], **fields)]))
    await kubectl.box.ready()


class Terminal:
    """Our end of a terminal that kubectl runs on."""

    def __init__(self):
        self.ours, self.theirs = pty.openpty()
        os.set_blocking(self.ours, False)
        self.shown = b""

    def resize(self, columns, rows):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.ours, text)

    async def until(self, word):
        for _ in range(500):
            try:
                self.shown += os.read(self.ours, 4096)
            except BlockingIOError:
                await asyncio.sleep(0.01)
            if word in self.shown:
                return
        raise AssertionError(self.shown)


@both_ways
async def test_commands_files_and_ports(kubectl, websocket, tmp_path):
    call = (KUBECTL, websocket)
    await running(kubectl, SERVING)
    code, out, err = await kubectl(*call, "exec", "-i", "web", "--", "sh", "-c", "cat; exit 5", stdin=b"z" * 500_000)
    assert (code, len(out)) == (5, 500_000), err
    (tmp_path / "file").write_bytes(content := os.urandom(300_000))
    await kubectl(*call, "cp", str(tmp_path / "file"), "shop/web:/tmp/file")
    await kubectl(*call, "cp", "shop/web:/tmp/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    forwarding = await kubectl.begin(*call, "port-forward", "pod/web", ":80")
    line = await asyncio.wait_for(forwarding.stdout.readline(), 10)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(line.split()[2].rpartition(b":")[2]))
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 10)).endswith(b"hello\n")
    writer.close()


@both_ways
async def test_a_terminal_has_a_size_that_changes_and_an_exit_code(kubectl, websocket):
    await running(kubectl, SERVING)
    terminal = Terminal()
    terminal.resize(101, 33)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    process = await kubectl.begin(KUBECTL, websocket, "exec", "-it", "web", "--", "sh", **streams)
    os.close(terminal.theirs)
    await terminal.until(b"#")
    terminal.type(b"stty size\r")
    await terminal.until(b"33 101")
    terminal.resize(120, 44)
    process.send_signal(signal.SIGWINCH)
    terminal.type(b"sleep 0.3; stty size\r")
    await terminal.until(b"44 120")
    terminal.type(b"exit 3\r")
    assert await asyncio.wait_for(process.wait(), 10) == 3
    os.close(terminal.ours)


@both_ways
async def test_a_client_that_goes_ends_its_command_but_not_what_it_was_attached_to(kubectl, websocket):
    await running(kubectl, READING, stdin=True)
    for word in (b"one", b"two"):
        attached = await kubectl.begin(KUBECTL, websocket, "attach", "-i", "web")
        attached.stdin.write(word + b"\n")
        assert await asyncio.wait_for(attached.stdout.readline(), 10) == b"got " + word + b"\n"
        attached.kill()
        await attached.communicate()
    sleeping = await kubectl.begin(KUBECTL, websocket, "exec", "web", "--", "sleep", "1234")
    while b"sleep 1234" not in (listed := (await kubectl(KUBECTL, websocket, "exec", "web", "--", "ps"))[1]):
        assert b"ps" in listed
    sleeping.kill()
    while b"sleep 1234" in (listed := (await kubectl(KUBECTL, websocket, "exec", "web", "--", "ps"))[1]):
        assert b"ps" in listed
    assert (await kubectl.box.ready())["containerStatuses"][0]["restartCount"] == 0
