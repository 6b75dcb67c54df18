"""
Processes in a container with their streams: an exec'd command over pipes or a terminal, an attach over conmon's socket.

Nothing is read ahead: a caller that does not ask for output lets the process block, as a slow terminal would.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from tiphys.runtime import monitor
from tiphys.runtime.door import NotFound
from tiphys.runtime.refusals import Refusal

CHUNK_BYTES = 32768
# conmon's: eight KiB after a byte that names the stream.
PACKET_BYTES = 8192 + 1
STDOUT_PACKET, STDERR_PACKET = 2, 3


class Executed:
    """
    `crun exec` stays as the parent of the command; its exit code is the command's. `refused` is asked once it has
    ended: whether it never came to start the command. `cleanup` is called last.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        terminal: int = -1,
        refused: Callable[[], Refusal | None],
        cleanup: Callable[[], None],
    ) -> None:
        self._process = process
        self._refused = refused
        self._refusal: Refusal | None = None
        self._terminal = terminal
        self._cleanup = cleanup
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # Bare descriptors: what is still in a pipe when the command has ended can be read for as long as we live.
        self._input = terminal if terminal >= 0 else _taken(process.stdin)
        self._outputs = {terminal: 1} if terminal >= 0 else {_taken(process.stdout): 1, _taken(process.stderr): 2}
        for descriptor in self._descriptors():
            os.set_blocking(descriptor, False)
        self._pidfd = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._bury)

    def __del__(self) -> None:
        self._close_streams()

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._input >= 0:
            try:
                view = view[os.write(self._input, view) :]
            except BlockingIOError:
                await _ready(asyncio.get_running_loop().add_writer, _stop_writing, [self._input])
            except (BrokenPipeError, OSError):
                # The command reads no more: what is left to say is lost, as with a closed pipe.
                return

    async def close_input(self) -> None:
        if self._terminal >= 0:
            # A terminal is not closed, its end of input is a character.
            await self.write(b"\x04")
        elif self._input >= 0:
            os.close(self._input)
            self._input = -1

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while self._outputs:
            for descriptor in await _ready(asyncio.get_running_loop().add_reader, _stop_reading, [*self._outputs]):
                chunk = _read(descriptor)
                if chunk:
                    yield self._outputs[descriptor], chunk
                elif chunk is not None:
                    del self._outputs[descriptor]
                    if descriptor != self._terminal:
                        os.close(descriptor)
        await self.wait()
        if self._refusal is not None:
            on_terminal = self._terminal >= 0
            yield (1, f"{self._refusal.text}\r\n".encode()) if on_terminal else (2, f"{self._refusal.text}\n".encode())

    async def resize(self, columns: int, rows: int) -> None:
        if self._terminal >= 0:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    async def kill(self) -> None:
        """The command with what it started; crun last, so that nothing escapes while we look."""
        if not self._code.done():
            await asyncio.to_thread(kill_tree, self._process.pid)

    def close(self) -> None:
        """Let go of the streams; the command goes on."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._close_streams()

    def _descriptors(self) -> set[int]:
        return {*self._outputs, self._input, self._terminal} - {-1}

    def _close_streams(self) -> None:
        for descriptor in self._descriptors():
            os.close(descriptor)
        self._outputs = {}
        self._input = self._terminal = -1

    def _bury(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        code = self._process.wait()
        if code:
            self._refusal = self._refused()
            code = self._refusal.code if self._refusal is not None else code
        if not self._code.done():
            self._code.set_result(code if code >= 0 else 128 - code)
        self._cleanup()


class Attached:
    """The first process of a container, by conmon's socket. Its end is the container's."""

    def __init__(self, directory: Path, exit_code: Callable[[], Awaitable[int]], kill: Callable[[], None]) -> None:
        self._directory = directory
        self._exit_code = exit_code
        self._kill = kill
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        try:
            with _reachable(directory / "attach") as address:
                self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise NotFound(f"nothing to attach to: {error.strerror}") from error

    async def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        for start in range(0, len(data), PACKET_BYTES - 1):
            try:
                await loop.sock_sendall(self._socket, data[start : start + PACKET_BYTES - 1])
            except OSError:
                return

    async def close_input(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        loop = asyncio.get_running_loop()
        try:
            while packet := await loop.sock_recv(self._socket, PACKET_BYTES):
                if packet[0] in (STDOUT_PACKET, STDERR_PACKET) and len(packet) > 1:
                    yield packet[0] - 1, packet[1:]
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ECONNRESET):
                raise
        finally:
            self.close()

    async def resize(self, columns: int, rows: int) -> None:
        monitor.control(self._directory, monitor.RESIZE, rows, columns)

    async def wait(self) -> int:
        return await self._exit_code()

    async def kill(self) -> None:
        """Ends the container's first process."""
        self._kill()

    def close(self) -> None:
        self._socket.close()


class Console:
    """A socket at which crun hands over the terminal of an exec'd command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with _reachable(path) as address:
            self._socket.bind(address)
        self._socket.listen(1)
        self._socket.setblocking(False)

    async def receive(self) -> int:
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self._socket)
        with connection:
            await _ready(loop.add_reader, _stop_reading, [connection.fileno()])
            _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
        if not descriptors:
            raise NotFound("crun gave no terminal")
        os.set_inheritable(descriptors[0], False)
        return descriptors[0]

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


def kill_tree(pid: int) -> None:
    """A process and everything below it. The top is halted first, so that it starts nothing meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    for child in _descendants(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _descendants(top: int) -> list[int]:
    children: Mapping[int, list[int]] = _children()
    found: list[int] = []
    waiting = [top]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _children() -> dict[int, list[int]]:
    table: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name in brackets may hold anything; what follows the last bracket is "state parent …".
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                table.setdefault(parent, []).append(int(entry.name))
    return table


def _read(descriptor: int) -> bytes | None:
    """b"" at the end, None when there is nothing yet."""
    try:
        return os.read(descriptor, CHUNK_BYTES)
    except BlockingIOError:
        return None
    except OSError as error:
        # How a terminal tells that its last process has gone.
        if error.errno == errno.EIO:
            return b""
        raise


async def _ready(watch: Callable[..., object], unwatch: Callable[[int], object], descriptors: list[int]) -> list[int]:
    """Those of the descriptors that can be used now; at least one."""
    ready: list[int] = []
    some: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(descriptor: int) -> None:
        ready.append(descriptor)
        unwatch(descriptor)
        if not some.done():
            some.set_result(None)

    for descriptor in descriptors:
        watch(descriptor, note, descriptor)
    try:
        await some
    finally:
        for descriptor in descriptors:
            unwatch(descriptor)
    return ready


def _stop_reading(descriptor: int) -> None:
    asyncio.get_running_loop().remove_reader(descriptor)


def _stop_writing(descriptor: int) -> None:
    asyncio.get_running_loop().remove_writer(descriptor)


def _taken(stream: IO[bytes] | None) -> int:
    """The descriptor alone, without the file object that would close it."""
    if stream is None:
        return -1
    descriptor = os.dup(stream.fileno())
    stream.close()
    return descriptor


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """The address of a socket, also where its path is longer than an address may be."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
