"""The CRI log format, reading with all options, following over a rotation, rotation by size."""

import asyncio
import gzip

import pytest

from node_builders import settings
from tiphys.node import log_files
from tiphys.node.log_lines import LogOptions, parse, parse_time
from tiphys.node.logs import Logs
from tiphys.runtime.fake import FakeRuntime

LINES = [
    b"2027-01-15T08:00:00.100000000Z stdout F one\n",
    b"2027-01-15T08:00:01.200000000Z stderr F two\n",
    b"2027-01-15T08:00:02.300000000Z stdout P thr\n",
    b"2027-01-15T08:00:02.300000000Z stdout F ee\n",
]
ENDED = asyncio.Event()
ENDED.set()


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "0.log"
    file.write_bytes(b"".join(LINES))
    return file


async def shown(path, **options):
    return b"".join([chunk async for chunk in log_files.read(path, LogOptions(**options), ENDED)])


async def test_a_log_is_shown_as_it_was_written(path):
    assert await shown(path) == b"one\ntwo\nthree\n"


async def test_time_stamps_stand_before_whole_lines_only(path):
    assert (await shown(path, timestamps=True)).splitlines()[2] == b"2027-01-15T08:00:02.300000000Z three"


@pytest.mark.parametrize("count, text", [(0, b""), (1, b"ee\n"), (3, b"two\nthree\n"), (9, b"one\ntwo\nthree\n")])
async def test_tail_counts_lines_of_the_file(path, count, text):
    assert await shown(path, tail=count) == text


async def test_since_hides_what_is_older(path):
    assert await shown(path, since=parse_time(b"2027-01-15T08:00:01.2Z")) == b"two\nthree\n"


async def test_a_limit_cuts_in_the_middle(path):
    assert await shown(path, limit_bytes=6) == b"one\ntw"


async def test_one_stream_can_be_chosen(path):
    assert await shown(path, stream="stderr") == b"two\n"


async def test_a_missing_file_is_said_before_anything_else(tmp_path):
    with pytest.raises(log_files.LogLost):
        await shown(tmp_path / "none.log")


def test_damaged_lines_are_no_lines():
    assert parse(b"nonsense\n") is None and parse(b"a b c d\n") is None
    assert parse_time(b"not a time") == 0.0


def test_the_tail_of_a_long_file_is_found_from_its_end(tmp_path):
    file = tmp_path / "long"
    file.write_bytes(b"".join(b"%d\n" % number for number in range(50_000)))
    with file.open("rb") as handle:
        handle.seek(log_files.tail_offset(handle, 2))
        assert handle.read() == b"49998\n49999\n"


async def test_following_goes_on_over_a_rotation_until_the_end(path):
    ended, got = asyncio.Event(), []

    async def follow():
        async for chunk in log_files.read(path, LogOptions(follow=True, tail=0), ended):
            got.append(chunk)

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.01)
    with path.open("ab") as file:
        file.write(LINES[0])
    path.rename(path.with_suffix(".old"))
    path.write_bytes(LINES[1])
    await asyncio.sleep(0.05)
    ended.set()
    await asyncio.wait_for(task, 2)
    assert b"".join(got) == b"one\ntwo\n"


async def test_an_unfinished_line_is_shown_when_it_is_whole(path):
    ended, got = asyncio.Event(), []

    async def follow():
        async for chunk in log_files.read(path, LogOptions(follow=True, tail=0), ended):
            got.append(chunk)

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.01)
    for part in (LINES[0][:40], LINES[0][40:]):
        with path.open("ab") as file:
            file.write(part)
        await asyncio.sleep(0.02)
    ended.set()
    await asyncio.wait_for(task, 2)
    assert got == [b"one\n"]


@pytest.mark.parametrize("grown", ["before", "while"])
async def test_a_log_that_has_grown_is_rotated_even_if_nothing_follows(tmp_path, grown):
    runtime = FakeRuntime()
    reopened = asyncio.Event()

    async def reopen_log(run_id):
        (tmp_path / "0.log").touch()
        reopened.set()

    runtime.reopen_log = reopen_log
    logs = Logs(runtime, settings(tmp_path, log_bytes_max=100))
    task = asyncio.create_task(logs.run())
    await asyncio.sleep(0)
    (tmp_path / "0.log").write_bytes(b"x" * 200 if grown == "before" else b"")
    logs.keep("run", tmp_path / "0.log")
    if grown == "while":
        (tmp_path / "0.log").write_bytes(b"x" * 200)
    await asyncio.wait_for(reopened.wait(), 2)
    assert len(list(tmp_path.glob("0.log.*"))) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_old_logs_are_compressed_and_the_oldest_dropped(tmp_path):
    for number in range(6):
        (tmp_path / f"0.log.2027010{number}-000000").write_bytes(b"%d" % number)
    logs = Logs(FakeRuntime(), settings(tmp_path, log_files_max=4))
    logs.tidy(tmp_path / "0.log")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["0.log.20270103-000000.gz", "0.log.20270104-000000.gz", "0.log.20270105-000000"]
    assert gzip.decompress((tmp_path / left[0]).read_bytes()) == b"3"
