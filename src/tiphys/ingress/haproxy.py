"""
HAProxy as a process: started, found again, told to read its files anew, asked and told things, stopped.

It runs as master and worker in a session of its own and goes on without us: requests are served while the server is
killed and started again. The next server finds it by its pid file, checks that it is the one, and takes it over: the
process' end is heard by a pidfd, whoever its parent is. A reload is over when the master says so on the notification
socket (systemd's protocol, which needs no systemd); then the worker is asked which files it has read, since a master
that cannot use new files says "ready" too, and goes on with the old ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Set
from pathlib import Path

from tiphys.ingress import runtime
from tiphys.ingress.config import ADMIN, CONFIG, NOTIFY, Files
from tiphys.ingress.servers import Server
from tiphys.ingress.settings import IngressSettings

log = logging.getLogger(__name__)

PROGRAM, PLACES, USER = "haproxy", "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin", "haproxy"
PID_FILE, LOG = "haproxy.pid", "haproxy.log"
READY_SECONDS_MAX = 10.0
PORT_TRIES, PORT_TRY_SECONDS = 10, 0.1
ANSWER_SECONDS_MAX = 5.0
ANSWER_BYTES_MAX = 64 << 20
END_SECONDS_MAX = 5.0


class DataPlaneFailure(Exception):
    """HAProxy cannot do what it should. `reason` is that of an event, the text says what to do next."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class HaProxy:
    """`on_end` is called when the process has ended that was started or taken over."""

    def __init__(self, settings: IngressSettings, on_end: Callable[[], None]) -> None:
        self._settings = settings
        self._directory = settings.run_dir
        self._on_end = on_end
        self._pid = 0
        self._descriptor = -1
        self._notices: socket.socket | None = None

    @property
    def is_running(self) -> bool:
        return self._descriptor >= 0

    # life

    def take_over(self) -> bool:
        """Find the process that an earlier server started. False if there is none."""
        pid = running(self._directory)
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            self._follow(pid)
            self._listen()
        return self.is_running

    async def start(self, files: Files) -> None:
        """Begin to serve. DataPlaneFailure if it cannot be."""
        program = shutil.which(PROGRAM, path=search_path())
        if program is None:
            text = "haproxy is not installed: apt-get install haproxy (or tiphys doctor --fix)"
            raise DataPlaneFailure("DataPlaneMissing", text)
        await self._find_ports_free(files)
        self._write(files)
        self._listen()
        self._follow(self._spawn(program))
        await self._ready(files)

    async def reload(self, files: Files) -> None:
        """Go on with these files: connections that there are, and those that come meanwhile, are served."""
        await self._find_ports_free(files, self._bound())
        self._write(files)
        self._drain()
        self._signal(signal.SIGUSR2)
        await self._ready(files)

    async def stop(self) -> None:
        """End it; its ports are free afterwards, and nothing of it is left."""
        self.close()
        await asyncio.to_thread(remove, self._directory)

    def close(self) -> None:
        """Let it go on alone."""
        self._forget()
        if self._notices is not None:
            self._notices.close()
            self._notices = None

    # talking

    async def generation(self) -> str:
        """Which files the worker has read."""
        answer = await self.ask(runtime.ASK_GENERATION)
        return answer.strip().partition("=")[2]

    async def servers(self) -> dict[str, list[Server]]:
        return runtime.servers(await self.ask(runtime.STATE))

    async def perform(self, commands: Iterable[str]) -> None:
        for command in commands:
            trouble = runtime.failure(await self.ask(command))
            if trouble:
                raise DataPlaneFailure("DataPlaneFailed", f"HAProxy refused {command!r}: {trouble}")

    async def ask(self, command: str) -> str:
        """The worker's answer to a command of its runtime socket."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                path = str(self._directory / ADMIN)
                reader, writer = await asyncio.open_unix_connection(path, limit=ANSWER_BYTES_MAX)
                try:
                    writer.write(f"{command}\n".encode())
                    return (await reader.read(-1)).decode()
                finally:
                    writer.close()
        except OSError as error:  # a timeout is one, too
            text = f"HAProxy does not answer on its runtime socket: {error or 'no answer in time'}"
            raise DataPlaneFailure("DataPlaneFailed", text) from None

    # inside

    def _spawn(self, program: str) -> int:
        command = [program, "-Ws", "-q", "-f", str(self._directory / CONFIG), "-p", str(self._directory / PID_FILE)]
        environment = {**os.environ, "NOTIFY_SOCKET": str(self._directory / NOTIFY)}
        with (self._directory / LOG).open("wb") as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True, cwd="/",
                env=environment,
            )  # fmt: skip
        # Not waited for by this object: it is meant to outlive us.
        process.returncode = 0
        return process.pid

    def _write(self, files: Files) -> None:
        """Keys among them: nobody else may read. What is no longer used goes."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in files.content.items():
            fresh = self._directory / f"{name}.new"
            fresh.touch(mode=0o600)
            fresh.write_text(text)
            fresh.replace(self._directory / name)
        for old in self._directory.glob("*.pem"):
            if old.name not in files.content:
                old.unlink()

    def _bound(self) -> set[int]:
        """The ports that it has by now, from the files that it has read."""
        with contextlib.suppress(FileNotFoundError):
            return self._ports((self._directory / CONFIG).read_text())
        return set()

    def _ports(self, config: str) -> set[int]:
        settings = self._settings
        return {port for port in (settings.http_port, settings.https_port) if f"bind {settings.bind}:{port}" in config}

    async def _find_ports_free(self, files: Files, held: Set[int] = frozenset()) -> None:
        """The worker of a master that was killed gives its ports back within moments."""
        settings = self._settings
        wanted = {settings.http_port: "--ingress-http-port", settings.https_port: "--ingress-https-port"}
        used = self._ports(files.content[CONFIG]) - held
        for _ in range(PORT_TRIES):
            taken = next((port for port in used if not _is_free(settings.bind, port)), 0)
            if not taken:
                return
            await asyncio.sleep(PORT_TRY_SECONDS)
        choice = f"choose another port with {wanted[taken]}"
        raise DataPlaneFailure("PortTaken", f"port {taken} is taken by another process: stop that one, or {choice}")

    def _follow(self, pid: int) -> None:
        self._descriptor, self._pid = os.pidfd_open(pid), pid
        asyncio.get_running_loop().add_reader(self._descriptor, self._ended)

    def _ended(self) -> None:
        pid = self._pid
        self._forget()
        with contextlib.suppress(ChildProcessError):  # it may be an earlier server's child
            os.waitpid(pid, os.WNOHANG)
        self._on_end()

    def _forget(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _signal(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except OSError as error:
            raise DataPlaneFailure("DataPlaneFailed", f"HAProxy has ended: {error}") from None

    def _listen(self) -> None:
        path = self._directory / NOTIFY
        if self._notices is not None:
            self._notices.close()
        path.unlink(missing_ok=True)
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._notices.bind(str(path))

    def _drain(self) -> None:
        assert self._notices is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                self._notices.recv(4096)

    async def _ready(self, files: Files) -> None:
        """Wait until the worker serves these files. DataPlaneFailure with HAProxy's own words if it does not."""
        assert self._notices is not None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                while self.is_running and not (await self._notice(loop)).startswith("READY=1"):
                    pass
        except TimeoutError:
            raise DataPlaneFailure("DataPlaneFailed", f"HAProxy was not ready in time: {self._said()}") from None
        if not self.is_running:
            raise DataPlaneFailure("DataPlaneFailed", f"HAProxy ended: {self._said()}")
        if await self.generation() != files.generation:
            raise DataPlaneFailure("DataPlaneFailed", f"HAProxy cannot use its new configuration: {self._said()}")

    async def _notice(self, loop: asyncio.AbstractEventLoop) -> str:
        """The next word of the master; "" when it has ended."""
        assert self._notices is not None
        heard = asyncio.ensure_future(loop.sock_recv(self._notices, 4096))
        over = asyncio.ensure_future(self._until_end())
        try:
            await asyncio.wait((heard, over), return_when=asyncio.FIRST_COMPLETED)
            return heard.result().decode(errors="replace") if heard.done() else ""
        finally:
            for task in (heard, over):
                task.cancel()
            await asyncio.gather(heard, over, return_exceptions=True)

    async def _until_end(self) -> None:
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        descriptor = os.dup(self._descriptor)
        loop.add_reader(descriptor, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _said(self) -> str:
        """The end of what HAProxy complained of."""
        with contextlib.suppress(OSError):
            lines = (self._directory / LOG).read_text(errors="replace").splitlines()
            alerts = [line for line in lines if "ALERT" in line] or lines
            return " / ".join(alerts[-3:])[-600:]
        return "it said nothing"


def search_path() -> str:
    """Where the program may be: not everybody's PATH has the places of system programs."""
    return f"{os.environ.get('PATH', '')}:{PLACES}"


def worker_account() -> str:
    """The account that the package brings for the worker; "" where there is none, or we are not root."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return ""
    return USER if os.geteuid() == 0 else ""


def running(directory: Path) -> int | None:
    """The pid of the master whose files are in this directory, if it runs."""
    try:
        pid = int((directory / PID_FILE).read_text().split()[0])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        return None
    return pid if str(directory / CONFIG) in words else None


def end(directory: Path) -> None:
    """End the master of this directory and its workers, and wait. Nothing if it does not run."""
    pid = running(directory)
    if pid is None:
        return
    with contextlib.ExitStack() as stack:
        family = []
        # Workers last: a master that has ended may be a moment ahead of them, and they have the ports.
        for one in (pid, *_workers(pid)):
            with contextlib.suppress(ProcessLookupError):
                family.append(os.pidfd_open(one))
                stack.callback(os.close, family[-1])
        _send(family[:1], signal.SIGTERM)
        if not all(_ends(descriptor) for descriptor in family):
            _send(family, signal.SIGKILL)
            for descriptor in family:
                _ends(descriptor)
        with contextlib.suppress(ChildProcessError):  # it may be an earlier server's child
            os.waitpid(pid, os.WNOHANG)


def _workers(master: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
    return []


def _send(family: Iterable[int], number: signal.Signals) -> None:
    for descriptor in family:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)


def remove(directory: Path) -> None:
    """End it, and take its files away: certificates and their keys are among them."""
    end(directory)
    if directory.exists():
        shutil.rmtree(directory)


def _ends(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(END_SECONDS_MAX * 1000))


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
