"""Commands in running containers: `crun exec` with pipes or with a terminal that it hands over at a socket."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiphys.runtime import monitor
from tiphys.runtime.door import StartFailed
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

    async def execute(self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool) -> Executed:
        spec = self._settings.containers_dir / container_id / f"exec-{os.getpid()}-{next(self._numbers)}.json"
        await asyncio.to_thread(_write_process, spec, command, tty)
        words = [self._spawner.crun, f"--root={self._settings.crun_root}", "exec", "--process", str(spec)]
        if tty:
            return await self._execute_on_terminal(words, container_id, spec)
        pipe = subprocess.PIPE
        process = await self._spawner.start(
            [*words, container_id], stdin=pipe if stdin else subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        return self._track(process, -1, spec)

    def close(self) -> None:
        for process in [*self._executed]:
            process.close()
        self._executed.clear()

    async def _execute_on_terminal(self, words: list[str], container_id: str, spec: Path) -> Executed:
        console = Console(spec.with_suffix(".sock"))
        try:
            words = [*words, "--console-socket", str(console.path), container_id]
            quiet = subprocess.DEVNULL
            process = await self._spawner.start(words, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE)
            terminal = await self._terminal_of(process, console)
        finally:
            console.close()
        assert process.stderr is not None
        process.stderr.close()
        return self._track(process, terminal, spec)

    async def _terminal_of(self, process: subprocess.Popen[bytes], console: Console) -> int:
        """crun hands a terminal over, or ends with a complaint."""
        receiving = asyncio.ensure_future(console.receive())
        ending = asyncio.ensure_future(monitor.ended(os.pidfd_open(process.pid)))
        try:
            await asyncio.wait({receiving, ending}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                return receiving.result()
            _, errors = process.communicate()
            raise StartFailed(monitor.reason_of(errors.decode(errors="replace")))
        finally:
            for waiting in (receiving, ending):
                waiting.cancel()
            await asyncio.gather(receiving, ending, return_exceptions=True)

    def _track(self, process: subprocess.Popen[bytes], terminal: int, spec: Path) -> Executed:
        executed: Executed

        def forget() -> None:
            spec.unlink(missing_ok=True)
            self._executed.discard(executed)

        executed = Executed(process, terminal=terminal, cleanup=forget)
        self._executed.add(executed)
        return executed


def _write_process(path: Path, command: Sequence[str], tty: bool) -> None:
    config: dict[str, Any] = json.loads((path.parent / "config.json").read_bytes())
    process = {**config["process"], "args": [*command], "terminal": tty}
    if tty and not any(entry.startswith("TERM=") for entry in process["env"]):
        process["env"] = [*process["env"], "TERM=xterm"]
    path.write_text(json.dumps(process))
