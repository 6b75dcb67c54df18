"""Two raw streams that are the ends of one pipe, for protocols that run over a connection."""

import asyncio

from tiphys.wire.link import ConnectionLost


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
