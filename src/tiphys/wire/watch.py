"""
The framing of a watch: one JSON document a line, cut at will by the network.

Chunks carry no meaning: a line may span many, a chunk may hold many. What comes out is whole lines without the newline;
blank lines (keep-alives of some servers) are dropped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

# The largest object a server accepts is 3 MiB; its watch event adds little. Twice that is certainly not an object.
LINE_BYTES_MAX = 8 * 1024 * 1024


class LineTooLong(ValueError):
    """A line outgrew the limit: the peer does not send newline-delimited JSON, or sends too much."""


async def lines(chunks: AsyncIterator[bytes], *, line_bytes_max: int = LINE_BYTES_MAX) -> AsyncIterator[bytes]:
    """
    Whole lines of a stream of chunks; what follows the last newline at the end of the stream is the last line.

    Closes `chunks` when it ends or is closed itself. Raises LineTooLong.
    """
    pending: list[bytes] = []
    size = 0
    try:
        async for chunk in chunks:
            *whole, rest = chunk.split(b"\n")
            if whole and pending:
                pending.append(whole[0])
                whole[0] = b"".join(pending)
                pending.clear()
                size = 0
            for line in whole:
                if len(line) > line_bytes_max:
                    raise LineTooLong(f"a line of more than {line_bytes_max} bytes")
                if line and not line.isspace():
                    yield line
            if rest:
                pending.append(rest)
                size += len(rest)
                if size > line_bytes_max:
                    raise LineTooLong(f"a line of more than {line_bytes_max} bytes")
        last = b"".join(pending)
        if last and not last.isspace():
            yield last
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
