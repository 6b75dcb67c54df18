"""Lines come out whole, wherever the network cut them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.wire.watch import LineTooLong, lines


async def chunked(chunks):
    for chunk in chunks:
        yield chunk


async def collect(chunks, **options) -> list[bytes]:
    return [line async for line in lines(chunked(chunks), **options)]


@given(st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\n", b"x") + b"}")), st.lists(st.integers(0, 60)))
async def test_cuts_do_not_matter(documents, cuts):
    stream = b"".join(document + b"\n" for document in documents)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(stream)), len(stream)]
    assert await collect([stream[a:b] for a, b in itertools.pairwise(edges)]) == documents


async def test_blank_lines_are_dropped_and_the_last_needs_no_newline():
    assert await collect([b"{}\n\r\n\n{", b"}"]) == [b"{}", b"{}"]


@pytest.mark.parametrize("chunks", [[b"x" * 11 + b"\n"], [b"x" * 6, b"x" * 5]])
async def test_a_line_that_never_ends_is_refused(chunks):
    with pytest.raises(LineTooLong):
        await collect(chunks, line_bytes_max=10)


async def test_leaving_early_closes_the_chunks():
    closed = []

    async def source():
        try:
            yield b"a\nb\n"
        finally:
            closed.append(True)

    stream = lines(source())
    assert await anext(stream) == b"a"
    await stream.aclose()
    assert closed == [True]
