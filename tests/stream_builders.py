"""For streams: a pipe, programs of this machine as containers, a tiny API server before a node, and kubectl."""

import asyncio
import os
import signal
from urllib.parse import parse_qs, urlencode

import orjson

from tiphys.api import errors
from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Request, Response
from tiphys.wire.pool import HttpPool
from tiphys.wire.relay import relay

DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get"]}],
    },
}
JSON = (("Content-Type", "application/json"),)
FLAGS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


class Pipe:
    """One end. `limit` bytes may wait for the other side; then writers do."""

    def __init__(self, limit=65536):
        self.limit, self.buffer, self.ended, self.lost, self.other = limit, bytearray(), False, False, None
        self.changed = asyncio.Condition()

    async def read(self, max_bytes=65536):
        async with self.changed:
            await self.changed.wait_for(lambda: self.buffer or self.ended or self.lost)
            if self.lost:
                raise ConnectionLost("the pipe broke")
            data = bytes(self.buffer[:max_bytes])
            del self.buffer[:max_bytes]
            self.changed.notify_all()
            return data

    async def write(self, data):
        other = self.other
        async with other.changed:
            if other.ended or other.lost:
                raise ConnectionLost("the pipe is closed")
            other.buffer += data
            other.changed.notify_all()
            await other.changed.wait_for(lambda: len(other.buffer) <= other.limit or other.ended or other.lost)
            if other.lost:
                raise ConnectionLost("the pipe broke")

    async def close_output(self):
        async with self.other.changed:
            self.other.ended = True
            self.other.changed.notify_all()

    async def close(self):
        await self.close_output()
        async with self.changed:
            self.ended = True
            self.changed.notify_all()

    async def tear(self):
        """The connection breaks, for both."""
        for end in (self, self.other):
            async with end.changed:
                end.lost = True
                end.changed.notify_all()


def pipe(limit=65536):
    left, right = Pipe(limit), Pipe(limit)
    left.other, right.other = right, left
    return left, right


class LocalProcess:
    """A program of this machine behind the Process door."""

    def __init__(self, program, *, stdin):
        self.program, self.stdin, self.sizes = program, stdin, []
        self.killed = self.closed = False
        self.chunks = asyncio.Queue(4)

    async def write(self, data):
        if self.program.stdin.is_closing():
            raise BrokenPipeError
        self.program.stdin.write(data)
        await self.program.stdin.drain()

    async def close_input(self):
        self.program.stdin.close()

    async def _pump(self, number, reader):
        while data := await reader.read(65536):
            await self.chunks.put((number, data))

    async def output(self):
        both = asyncio.gather(self._pump(1, self.program.stdout), self._pump(2, self.program.stderr))
        both.add_done_callback(lambda _: self.done.set())
        self.done = asyncio.Event()
        try:
            while not (self.done.is_set() and self.chunks.empty()):
                getting = asyncio.ensure_future(self.chunks.get())
                ended = asyncio.ensure_future(self.done.wait())
                await asyncio.wait((getting, ended), return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()
                if getting.done():
                    yield getting.result()
                else:
                    getting.cancel()
        finally:
            both.cancel()
            await asyncio.gather(both, return_exceptions=True)

    async def resize(self, columns, rows):
        self.sizes.append((columns, rows))

    async def wait(self):
        # asyncio's own wait is for the end of the pipes too, which a child may hold open.
        while self.program.returncode is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        code = self.program.returncode
        return code if code >= 0 else 128 - code

    async def kill(self):
        self.killed = True
        if self.program.returncode is None:
            self.program.send_signal(signal.SIGKILL)
        await self.wait()

    def close(self):
        self.closed = True

    async def clean_up(self):
        """With all its children."""
        try:
            os.killpg(self.program.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await self.wait()
        self.program._transport.close()


class LocalRuntime:
    """`execute` runs the command here; `attach` runs `attached`."""

    def __init__(self):
        self.processes, self.attached, self.started = [], ["cat"], asyncio.Event()

    async def execute(self, container, command, *, tty=False, stdin=False):
        pipe = asyncio.subprocess.PIPE
        source = pipe if stdin else asyncio.subprocess.DEVNULL
        program = await asyncio.create_subprocess_exec(
            *command, stdin=source, stdout=pipe, stderr=pipe, start_new_session=True
        )
        self.processes.append(LocalProcess(program, stdin=stdin))
        self.started.set()
        return self.processes[-1]

    async def attach(self, container):
        return await self.execute(container, self.attached, stdin=True)


class Here:
    """One pod, `shop/web`, with one container, on the host's network."""

    def __init__(self):
        self.asked, self.text = [], b"hello\n"

    def pods(self):
        meta = {"name": "web", "namespace": "shop", "uid": "u"}
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
        status = {"phase": "Running", "containerStatuses": []}
        return [{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}]

    def running(self, namespace, pod, container):
        if (namespace, pod, container) != ("shop", "web", "c"):
            raise errors.failure(404, "NotFound", f'container not found ("{container}")')
        return "run-1"

    def network(self, namespace, pod):
        return None

    async def logs(self, namespace, pod, container, options):
        self.asked.append(options)
        self.running(namespace, pod, container)

        async def lines():
            yield self.text

        return lines()

    async def usages(self, *, brief=False):
        return []

    async def places(self):
        return {}


class Cluster:
    """What kubectl needs of an API server: the pod, and its subresources passed on as the real one does."""

    def __init__(self, here, node_port):
        self.here = here
        self.pool = HttpPool(f"http://127.0.0.1:{node_port}")

    async def __call__(self, request):
        path, _, query = request.target.partition("?")
        words = path.strip("/").split("/")
        if words[-1] == "web":
            return Response(200, JSON, orjson.dumps(self.here.pods()[0]))
        if path in DISCOVERY:
            return Response(200, JSON, orjson.dumps(DISCOVERY[path]))
        answer = await self.pool(Request(request.method, self.target(words, parse_qs(query)), request.headers))
        if answer.stream is None:
            return answer
        upstream = answer.stream
        return Response(101, answer.headers, takeover=lambda raw: relay(raw, upstream))

    @staticmethod
    def target(words, query):
        verb, place = words[-1], f"{words[3]}/web"
        if verb == "portforward":
            return f"/portForward/{place}?{urlencode([('port', p) for p in query.get('ports', ())])}"
        if verb == "log":
            query.pop("container", None)
            return f"/containerLogs/{place}/c?{urlencode(query, doseq=True)}"
        passed = [(FLAGS[name], "1") for name in FLAGS if query.get(name) == ["true"]]
        passed += [("command", word) for word in query.get("command", ())]
        return f"/{verb}/{place}/c?{urlencode(passed)}"


class Kubectl:
    """Real kubectl against `port`, in namespace shop. Each call names the program and whether it uses WebSockets."""

    def __init__(self, port, cache):
        self.options = ["--server", f"http://127.0.0.1:{port}", "-n", "shop", "--cache-dir", str(cache)]
        self.processes = []

    async def begin(self, path, websocket, *words, **streams):
        own = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websocket, "KUBECTL_PORT_FORWARD_WEBSOCKETS": websocket}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE) | streams
        environment = {**os.environ, **own, "KUBECONFIG": "/dev/null"}
        process = await asyncio.create_subprocess_exec(path, *self.options, *words, env=environment, **pipes)
        self.processes.append(process)
        return process

    async def __call__(self, path, websocket, *words, stdin=b""):
        process = await self.begin(path, websocket, *words)
        out, err = await asyncio.wait_for(process.communicate(stdin), 20)
        return process.returncode, out, err.decode()

    async def close(self):
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.communicate()
