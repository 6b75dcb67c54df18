"""Programs that show themselves by a socket: found, asked, told; anew when the socket is another, gone when it is."""

import asyncio
from contextlib import asynccontextmanager

from tiphys.node.plugins import messages
from tiphys.node.plugins.registrar import Refused
from tiphys.node.plugins.registry import PluginRegistry, sockets
from tiphys.wire import grpc, unix_sockets


class Taker:
    """`heard` is what happened, `refuses` the text for the next one."""

    def __init__(self):
        self.heard = []
        self.refuses = ""
        self.changed = asyncio.Event()

    async def add(self, info):
        if self.refuses:
            raise Refused(self.refuses)
        self.note("added", info)

    async def remove(self, info):
        self.note("removed", info)

    def note(self, what, info):
        self.heard.append((what, info.name))
        self.changed.set()

    async def until(self, *heard):
        async with asyncio.timeout(5):
            while self.heard != list(heard):
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def program(path, name="x", kind="CSIPlugin"):
    """Serves at a path; gives what it was told of its registration."""
    told = asyncio.Queue()

    async def who(_):
        yield messages.TABLE.encode("PluginInfo", {"type": kind, "name": name, "supported_versions": ["1.0.0"]})

    async def notified(message):
        told.put_nowait(messages.TABLE.decode("RegistrationStatus", message))
        yield b""

    path.parent.mkdir(parents=True, exist_ok=True)
    listener = unix_sockets.listen(path)
    serving = asyncio.create_task(grpc.serve(listener, {messages.GET_INFO: who, messages.NOTIFY: notified}))
    try:
        yield told
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        listener.close()
        path.unlink()


@asynccontextmanager
async def registry(root):
    taker = Taker()
    task = asyncio.create_task(PluginRegistry(root, lambda: {"CSIPlugin": taker}).run())
    try:
        yield taker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_program_is_found_wherever_its_socket_is_and_told_so(tmp_path):
    async with registry(tmp_path) as taker:
        async with program(tmp_path / "deep" / "x.sock") as told:
            assert await told.get() == {"plugin_registered": True, "error": ""}
            await taker.until(("added", "x"))
        await taker.until(("added", "x"), ("removed", "x"))


async def test_during_an_update_the_new_one_may_come_before_the_old_one_has_gone(tmp_path):
    async with program(tmp_path / "old.sock"), registry(tmp_path) as taker:
        await taker.until(("added", "x"))
        async with program(tmp_path / "new.sock") as told:
            assert (await told.get())["plugin_registered"]
            (tmp_path / "old.sock").rename(tmp_path / ".old.sock")
            async with program(tmp_path / "other.sock", "y"):
                await taker.until(("added", "x"), ("added", "x"), ("added", "y"))
        await taker.until(("added", "x"), ("added", "x"), ("added", "y"), ("removed", "y"), ("removed", "x"))
        (tmp_path / ".old.sock").rename(tmp_path / "old.sock")


async def test_what_nobody_takes_is_told_why(tmp_path):
    async with registry(tmp_path) as taker:
        async with program(tmp_path / "d.sock", kind="DRAPlugin") as told:
            assert "no handler registered for plugin type: DRAPlugin" in (await told.get())["error"]
        taker.refuses = "too old"
        async with program(tmp_path / "x.sock") as told:
            assert await told.get() == {"plugin_registered": False, "error": "too old"}


def test_files_and_hidden_sockets_are_no_programs(tmp_path):
    (tmp_path / "file").touch()
    with unix_sockets.listen(tmp_path / ".hidden.sock"), unix_sockets.listen(tmp_path / "seen.sock"):
        assert list(sockets(tmp_path)) == [str(tmp_path / "seen.sock")]
