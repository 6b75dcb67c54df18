"""Terminals, input, attach, logs."""

from pathlib import Path

import pytest

from runtime.suite import SLEEPS, within

pytestmark = pytest.mark.host


async def collect(process):
    return b"".join([chunk async for _, chunk in process.output()])


async def test_a_command_reads_its_input_to_the_end(real, make):
    await real.prepare(make("a", SLEEPS))
    await real.start("a")
    process = await real.execute("a", ["/bin/wc", "-c"], stdin=True)
    await process.write(b"x" * 200_000)
    await process.close_input()
    assert (await within(5, collect(process))).strip() == b"200000" and await process.wait() == 0


async def test_a_command_on_a_terminal_knows_its_size(real, make):
    await real.prepare(make("a", SLEEPS))
    await real.start("a")
    process = await real.execute("a", ["/bin/sh", "-c", "read x; stty size; exit 3"], tty=True, stdin=True)
    await process.resize(100, 40)
    await process.write(b"\n")
    assert b"40 100" in await within(5, collect(process)) and await process.wait() == 3


async def test_attach_speaks_with_the_first_process(real, make):
    await real.prepare(make("a", "read x; echo got $x; exit 6", stdin=True, stdin_once=True))
    await real.start("a")
    process = await real.attach("a")
    await process.write(b"word\n")
    assert b"got word" in await within(5, collect(process)) and await within(5, process.wait()) == 6


async def test_a_log_goes_on_in_a_new_file(real, make, tmp_path):
    spec = make("a", "echo one; read x; echo two; sleep 0.2", stdin=True)
    await real.prepare(spec)
    await real.start("a")
    process = await real.attach("a")
    Path(spec.log_path).rename(tmp_path / "old")
    await real.reopen_log("a")
    while not Path(spec.log_path).exists():
        await real.usage("a")
    await process.write(b"\n")
    await within(5, real.wait("a"))
    process.close()
    assert "two" in Path(spec.log_path).read_text() and "two" not in (tmp_path / "old").read_text()
