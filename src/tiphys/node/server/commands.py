"""
A process and its client: bytes both ways, the terminal's size, and how it ended.

Back-pressure is that of the streams: output is taken from the process only when the client took the last piece, input
from the client only when the process took it. A client that goes away ends an exec (an attached container goes on).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from tiphys.api import errors
from tiphys.node.server.activity import Activity, until_lost
from tiphys.node.server.doors import ServerLimits
from tiphys.node.server.streams import Status, Streams
from tiphys.runtime.door import Process, RuntimeFailure
from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Stream

log = logging.getLogger(__name__)

SUCCESS: Status = {"metadata": {}, "status": "Success"}
SIZES_BYTES_MAX = 4096


def exit_status(code: int) -> Status:
    """How Kubernetes tells an exit code."""
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


class Conversation:
    """`attached` is whether the process is the container's own, which is left alone when the client goes."""

    def __init__(self, streams: Streams, limits: ServerLimits, *, attached: bool) -> None:
        self._streams = streams
        self._limits = limits
        self._attached = attached
        self._activity = Activity()
        self._passing = False

    async def run(self, begin: Callable[[], Awaitable[Process]]) -> None:
        """From the beginning of the process to the close of the connection."""
        try:
            try:
                process = await begin()
            except (RuntimeFailure, OSError) as error:
                await self._fail(f"error executing command in container: {error}")
                return
            await self._converse(process)
        finally:
            await self._streams.close()

    async def _converse(self, process: Process) -> None:
        working = asyncio.create_task(self._serve(process), name="remote command")
        idle = asyncio.create_task(self._activity.idle(self._limits.idle_seconds))
        lost = asyncio.create_task(until_lost(self._streams.owner, self._limits.ping_seconds))
        ended = False
        try:
            await asyncio.wait((working, idle, lost, self._streams.gone), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                code = working.result()
                ended = True
                await self._streams.end(SUCCESS if self._attached else exit_status(code), self._limits.linger_seconds)
            elif idle.done():
                await self._fail(f"no data for {self._limits.idle_seconds:.0f} s")
        except ConnectionLost as error:
            log.debug("the client of a remote command went away: %s", error)
        except (RuntimeFailure, OSError) as error:
            await self._fail(f"error executing command in container: {error}")
        finally:
            for task in (working, idle, lost):
                task.cancel()
            await asyncio.gather(working, idle, lost, return_exceptions=True)
            if not ended and not self._attached:
                await self._kill(process)
            process.close()

    async def _kill(self, process: Process) -> None:
        """And wait until it is buried, before its streams are let go."""
        await process.kill()
        try:
            async with asyncio.timeout(self._limits.kill_seconds):
                await process.wait()
        except TimeoutError:
            log.warning("a killed command did not end within %.0f s", self._limits.kill_seconds)

    async def _fail(self, message: str) -> None:
        await self._streams.end(errors.internal(message).status, self._limits.linger_seconds)

    async def _serve(self, process: Process) -> int:
        """Until the process has ended and its output has been taken; gives the exit code."""
        streams = self._streams
        output = asyncio.create_task(self._pass_output(process.output()))
        exited = asyncio.create_task(process.wait())
        feeding: list[asyncio.Task[None]] = []
        if streams.stdin is not None:
            feeding.append(asyncio.create_task(self._feed_input(process, streams.stdin)))
        if streams.resize is not None:
            feeding.append(asyncio.create_task(_feed_sizes(process, streams.resize)))
        try:
            await asyncio.wait((output, exited), return_when=asyncio.FIRST_COMPLETED)
            if output.done():
                output.result()
            code = await exited
            await self._last_output(output)
            return code
        finally:
            tasks = [output, exited, *feeding]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_output(self, chunks: AsyncIterator[tuple[int, bytes]]) -> None:
        try:
            async for descriptor, data in chunks:
                stream = self._streams.stderr if descriptor == 2 else self._streams.stdout
                if stream is None or not data:
                    continue
                self._activity.touch()
                self._passing = True
                await stream.write(data)
                self._passing = False
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    async def _last_output(self, output: asyncio.Task[None]) -> None:
        """A child that has inherited the output may keep it open for ever: silence is the end then."""
        while not output.done():
            before = self._activity.last
            await asyncio.wait((output,), timeout=self._limits.quiet_seconds)
            if not output.done() and not self._passing and self._activity.last == before:
                return
        output.result()

    async def _feed_input(self, process: Process, stdin: Stream) -> None:
        taking = True
        try:
            while data := await stdin.read():
                self._activity.touch()
                if taking:
                    taking = await _written(process, data)
        except ConnectionLost:
            return  # `gone` tells it too
        if taking:
            await process.close_input()


async def _written(process: Process, data: bytes) -> bool:
    """False once the process takes no more; what still comes is dropped, so that the connection stays readable."""
    try:
        await process.write(data)
    except OSError:
        return False
    return True


async def _feed_sizes(process: Process, resize: Stream) -> None:
    """`{"Width":80,"Height":24}` one behind the other."""
    decoder = json.JSONDecoder()
    text = ""
    try:
        while data := await resize.read():
            text = (text + data.decode("utf-8", "replace")).lstrip()
            while text:
                try:
                    size, end = decoder.raw_decode(text)
                except ValueError:
                    break
                text = text[end:].lstrip()
                if isinstance(size, dict):
                    await _resize(process, size.get("Width"), size.get("Height"))
            if len(text) > SIZES_BYTES_MAX:
                return
    except ConnectionLost:
        return


async def _resize(process: Process, columns: object, rows: object) -> None:
    if not isinstance(columns, int) or not isinstance(rows, int):
        return
    if not (0 < columns < 65536 and 0 < rows < 65536):
        return
    try:
        await process.resize(columns, rows)
    except (RuntimeFailure, OSError) as error:
        log.debug("a terminal was not resized: %s", error)
