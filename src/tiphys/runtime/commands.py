"""Commands in running containers: `crun exec` with pipes or with a terminal that it hands over at a socket."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiphys.runtime import monitor
from tiphys.runtime.door import Process
from tiphys.runtime.refusals import Refused, read_refusal, refusal_of
from tiphys.runtime.settings import RuntimeSettings
from tiphys.runtime.spawner import Spawner
from tiphys.runtime.streams import Console, Executed


class Commands:
    """Those that are going on, so that their streams can be let go of."""

    def __init__(self, settings: RuntimeSettings, spawner: Spawner) -> None:
        self._settings = settings
        self._spawner = spawner
        self._executed: set[Executed] = set()
        self._numbers = itertools.count()

    async def execute(self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool) -> Process:
        spec = self._settings.containers_dir / container_id / f"exec-{os.getpid()}-{next(self._numbers)}.json"
        await asyncio.to_thread(_write_process, spec, command, tty)
        log = spec.with_suffix(".log")
        words = [self._spawner.crun, f"--root={self._settings.crun_root}", f"--log={log}"]
        words += ["exec", "--process", str(spec)]
        if tty:
            return await self._execute_on_terminal(words, container_id, spec, command)
        pipe = subprocess.PIPE
        process = await self._spawner.start(
            [*words, container_id], stdin=pipe if stdin else subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        return self._track(process, -1, spec, command)

    def close(self) -> None:
        for process in [*self._executed]:
            process.close()
        self._executed.clear()

    async def _execute_on_terminal(
        self, words: list[str], container_id: str, spec: Path, command: Sequence[str]
    ) -> Process:
        console = Console(spec.with_suffix(".sock"))
        try:
            words = [*words, "--console-socket", str(console.path), container_id]
            quiet = subprocess.DEVNULL
            process = await self._spawner.start(words, stdin=quiet, stdout=quiet, stderr=quiet)
            terminal = await self._terminal_of(process, console)
        finally:
            console.close()
        if terminal is None:
            refusal = read_refusal(spec.with_suffix(".log"), command)
            _forget(spec)
            return Refused(refusal or refusal_of("crun ended without a word", command))
        return self._track(process, terminal, spec, command)

    async def _terminal_of(self, process: subprocess.Popen[bytes], console: Console) -> int | None:
        """crun hands a terminal over, or ends with a complaint in its log."""
        receiving = asyncio.ensure_future(console.receive())
        ending = asyncio.ensure_future(monitor.ended(os.pidfd_open(process.pid)))
        try:
            await asyncio.wait({receiving, ending}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                return receiving.result()
            process.wait()
            return None
        finally:
            for waiting in (receiving, ending):
                waiting.cancel()
            await asyncio.gather(receiving, ending, return_exceptions=True)

    def _track(self, process: subprocess.Popen[bytes], terminal: int, spec: Path, command: Sequence[str]) -> Executed:
        executed: Executed

        def forget() -> None:
            _forget(spec)
            self._executed.discard(executed)

        refused = functools.partial(read_refusal, spec.with_suffix(".log"), command)
        executed = Executed(process, terminal=terminal, refused=refused, cleanup=forget)
        self._executed.add(executed)
        return executed


def _forget(spec: Path) -> None:
    spec.unlink(missing_ok=True)
    spec.with_suffix(".log").unlink(missing_ok=True)


def _write_process(path: Path, command: Sequence[str], tty: bool) -> None:
    config: dict[str, Any] = json.loads((path.parent / "config.json").read_bytes())
    process = {**config["process"], "args": [*command], "terminal": tty}
    if tty and not any(entry.startswith("TERM=") for entry in process["env"]):
        process["env"] = [*process["env"], "TERM=xterm"]
    path.write_text(json.dumps(process))
