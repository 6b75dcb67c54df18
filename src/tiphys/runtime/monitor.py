"""
conmon, the monitor of one container: started, listened to, found again.

conmon outlives whoever started it, keeps the container's streams and writes its exit code to a file, then ends. So
"conmon has ended" is the event that a container has: a pidfd tells it, for monitors of our own and for those that an
earlier process started.

conmon wants to `crun create` the container and leave the start to us: a second program, with all that it loads. Instead
it is given words of crun's that end in `run --detach --config`, so that the `create` it appends names a file of the
bundle (`CONFIG_LINK`), and the container runs when conmon reports its pid.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tiphys.runtime.door import ContainerSpec, StartFailed
from tiphys.runtime.spawner import Spawner

CONMON = "/usr/bin/conmon"
MONITOR_PID, CONTAINER_PID = "conmon.pid", "pid"
# What conmon calls crun's verb, and what crun takes for the name of its configuration.
CONFIG_LINK = "create"
# The verbs of conmon's control file.
RESIZE, REOPEN_LOG = 1, 2


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    at: float


def command(spec: ContainerSpec, directory: Path, crun_root: Path, spawner: Spawner) -> list[str]:
    """conmon's words for one container, whose bundle is `directory`."""
    words = [
        CONMON, "--api-version", "1", "-c", spec.id, "-u", spec.id, "-n", spec.name,
        *spawner.monitored(), *_runtime(f"--root={crun_root}", "run", "--detach", "--config"),
        "-b", str(directory), "-p", str(directory / CONTAINER_PID), "-P", str(directory / MONITOR_PID),
        "-l", f"k8s-file:{spec.log_path}", "--exit-dir", str(directory / "exit"), "--full-attach",
        "--socket-dir-path", str(directory), "--persist-dir", str(directory / "exit"),
        "--no-sync-log", "--log-level", "error",
    ]  # fmt: skip
    words += ["-t"] if spec.tty else []
    words += ["-i"] if spec.stdin else []
    words += ["--leave-stdin-open"] if spec.stdin and not spec.stdin_once else []
    return words


def _runtime(*words: str) -> list[str]:
    return [part for word in words for part in ("--runtime-arg", word)]


def launch(words: list[str], directory: Path, crun: int) -> int:
    """
    Start conmon in a bundle and let it run the container: its pid. `crun` is the descriptor that its words name.
    StartFailed with crun's own message. Blocks meanwhile.
    """
    report_read, report_write = os.pipe()
    go_read, go_write = os.pipe()
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "_OCI_SYNCPIPE": str(report_write),
        "_OCI_STARTPIPE": str(go_read),
    }
    # conmon ends when nobody is left who could read its report: it holds that end, too, and goes on if we are killed.
    inherited = (report_read, report_write, go_read, crun)
    with open(report_read, "rb") as report, open(go_write, "wb", buffering=0) as go:
        try:
            process = subprocess.Popen(
                words, pass_fds=inherited, env=environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=directory,
            )  # fmt: skip
        finally:
            os.close(report_write)
            os.close(go_read)
        go.write(b"0")
        line = report.readline()
    return _pid_of(line, _errors(process))


def _errors(process: subprocess.Popen[bytes]) -> str:
    """The process that we started ends as soon as it has made the one that stays."""
    assert process.stderr is not None
    with process.stderr:
        process.wait()
        os.set_blocking(process.stderr.fileno(), False)
        try:
            return (process.stderr.read() or b"").decode(errors="replace").strip()
        except BlockingIOError:
            return ""


def _pid_of(line: bytes, errors: str) -> int:
    try:
        report = json.loads(line)
    except ValueError as error:
        raise StartFailed(errors or "conmon ended without a word") from error
    pid = int(report.get("data", report.get("pid", -1)))
    if pid <= 0:
        raise StartFailed(reason_of(report.get("message") or errors or "crun refused to create the container"))
    return pid


def reason_of(message: str) -> str:
    """crun's message in one line, without its time stamp."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = lines[-1] if lines else message
    first, _, rest = text.partition(" ")
    return rest if rest and first[:4].isdecimal() and first.endswith("Z:") else text


def read_exit(directory: Path, container_id: str) -> Exit | None:
    path = directory / "exit" / container_id
    try:
        return Exit(int(path.read_text()), path.stat().st_mtime)
    except (FileNotFoundError, ValueError):
        return None


def read_pid(directory: Path) -> int:
    """The container's, 0 when it has not been told yet."""
    try:
        return int((directory / CONTAINER_PID).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def monitor_of(directory: Path, container_id: str) -> int | None:
    """A pidfd of the conmon of this container, None when it has ended. A pid that is someone else's now is not it."""
    return open_process(directory / MONITOR_PID, container_id)


def open_process(pid_file: Path, word: str) -> int | None:
    try:
        pid = int(pid_file.read_text())
        descriptor = os.pidfd_open(pid)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    # The order matters: what is read after the pidfd was opened speaks of that process or of a dead one.
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        words = []
    if word.encode() in words:
        return descriptor
    os.close(descriptor)
    return None


async def ended(descriptor: int) -> None:
    """Until the process behind a pidfd has ended. Closes it."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        loop.remove_reader(descriptor)
        if not over.done():
            over.set_result(None)

    loop.add_reader(descriptor, note)
    try:
        await over
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def control(directory: Path, verb: int, first: int = 0, second: int = 0) -> None:
    """Tell conmon something; one that has ended hears nothing."""
    try:
        descriptor = os.open(directory / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, f"{verb} {first} {second}\n".encode())
    finally:
        os.close(descriptor)


def strays(container_id: str, directory: Path) -> list[int]:
    """Monitors of a container that did not come to write their pid: found by their words."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == CONMON.encode() and container_id.encode() in words and str(directory).encode() in words:
            found.append(int(entry.name))
    return found
