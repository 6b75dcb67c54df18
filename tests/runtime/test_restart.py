"""The caller may be killed at any moment: nothing is started twice, nothing is orphaned."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.suite import SLEEPS, within
from tiphys.runtime.crun import CrunRuntime
from tiphys.runtime.door import RuntimeFailure

pytestmark = pytest.mark.host


@pytest.fixture
async def again(real, settings):
    """A second life of the runtime, in the same directories."""
    runtimes = []

    async def again():
        await real.close()
        runtimes.append(CrunRuntime(settings))
        await runtimes[-1].open()
        return runtimes[-1]

    yield again
    for runtime in runtimes:
        await runtime.close()


async def test_what_runs_goes_on_and_its_end_is_heard(real, make, again):
    await real.prepare(make("a", SLEEPS, labels={"x": "y"}))
    before = await real.start("a")
    after = await again()
    assert await after.status("a") == before
    waiting = asyncio.create_task(after.wait("a"))
    os.kill(before.pid, signal.SIGTERM)
    assert (await within(5, waiting)).exit_code == 0


async def test_what_ended_meanwhile_tells_how(real, make, again):
    await real.prepare(make("a", "sleep 0.1; exit 5"))
    status = await real.start("a")
    descriptor = os.pidfd_open(status.pid)
    await real.close()
    await _end_of(descriptor)
    after = await again()
    assert (await within(5, after.wait("a"))).exit_code == 5


async def test_what_was_only_prepared_can_be_started(real, make, again):
    await real.prepare(make("a", "exit 4"))
    after = await again()
    await after.start("a")
    assert (await within(5, after.wait("a"))).exit_code == 4


async def test_a_start_that_crun_has_not_heard_of_is_made_again(real, make, again, settings):
    await real.prepare(make("a", "exit 4"))
    (settings.containers_dir / "a/started").write_text("1.0")
    after = await again()
    assert (await after.status("a")).state == "created"
    await after.start("a")
    assert (await within(5, after.wait("a"))).exit_code == 4


async def test_a_start_that_may_have_run_is_never_made_again(real, make, again, settings):
    await real.prepare(make("a", "exit 4"))
    (settings.containers_dir / "a/started").write_text("1.0")
    (settings.crun_root / "a").mkdir()
    status = await (await again()).status("a")
    assert (status.state, status.exit_code) == ("exited", 137)


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 20, 40])
async def test_a_start_whose_caller_is_killed_happens_once(real, make, again, settings, tmp_path, milliseconds):
    await real.prepare(make("a", "echo ran; exec sleep 1000"))
    await real.close()
    cut_off_after(milliseconds / 1000, settings)
    after = await again()
    assert (await after.start("a")).state == "running"
    await within(5, asyncio.to_thread(wait_for_line, tmp_path / "a.log"))
    assert (tmp_path / "a.log").read_text().count("ran") == 1


async def test_half_a_container_is_cleared_away(real, make, again, settings):
    await real.prepare(make("a"))
    (settings.containers_dir / "a/container.json").unlink()
    after = await again()
    assert await after.containers() == [] and not (settings.layers_dir / "a").exists()


async def test_a_killed_monitor_takes_its_container_along(real, make, settings):
    await real.prepare(make("a"))
    await real.start("a")
    os.kill(int((settings.containers_dir / "a/conmon.pid").read_text()), signal.SIGKILL)
    ended = await within(5, real.wait("a"))
    assert ended.exit_code == 137 and "monitor" in ended.message
    assert list(Path("/sys/fs/cgroup").glob("*/tiphys-test/pod-box/a")) == []


async def test_two_runtimes_cannot_share_a_directory(real, settings):
    with pytest.raises(RuntimeFailure, match="in use by another process"):
        await CrunRuntime(settings).open()


# Says when it is about to start the container.
STARTER = """
import asyncio, pickle, sys
from tiphys.runtime.crun import CrunRuntime
async def main():
    runtime = CrunRuntime(pickle.loads(bytes.fromhex(sys.argv[1])))
    await runtime.open()
    print("now", flush=True)
    await runtime.start("a")
    await asyncio.sleep(1000)
asyncio.run(main())
"""


def cut_off_after(seconds, settings):
    """Another process starts the container and is killed."""
    words = [sys.executable, "-c", STARTER, pickle.dumps(settings).hex()]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as caller:
        caller.stdout.readline()
        time.sleep(seconds)
        caller.kill()


def wait_for_line(path):
    while "ran" not in path.read_text():
        time.sleep(0.01)


async def _end_of(descriptor):
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, over.set)
    await within(5, over.wait())
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)
