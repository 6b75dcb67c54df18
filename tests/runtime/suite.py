"""
The contract of the Runtime door, run by every implementation.

A room that runs it gives the fixtures `runtime` (open, with the image `IMAGE` and nothing else) and `make` (a
ContainerSpec of the sandbox "box" whose program is a line of shell: `SLEEPS`, `STUBBORN` or `exit N`).
"""

import asyncio

import pytest

from tiphys.runtime.door import (
    ImageInUse,
    ImageMissing,
    InvalidImageName,
    NotFound,
    Resources,
    SandboxSpec,
    StartFailed,
)

IMAGE = "localhost/tiphys-test/tiny:1"
SLEEPS = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
STUBBORN = "trap '' TERM; while :; do sleep 1000 & wait; done"


async def within(seconds, awaitable):
    async with asyncio.timeout(seconds):
        return await awaitable


class RuntimeContract:
    async def test_a_container_runs_and_its_exit_code_is_told(self, runtime, make):
        await runtime.prepare(make("a", "exit 3"))
        assert (await runtime.status("a")).state == "created"
        await runtime.start("a")
        status = await within(5, runtime.wait("a"))
        assert (status.state, status.exit_code) == ("exited", 3)
        assert status.created_at <= status.started_at <= status.finished_at

    async def test_every_waiter_hears_of_the_end(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        assert (await runtime.start("a")).state == "running"
        waiters = [asyncio.create_task(runtime.wait("a")) for _ in range(3)]
        await runtime.stop("a", 5, "SIGKILL")
        statuses = await within(5, asyncio.gather(*waiters))
        assert {status.exit_code for status in statuses} == {137}

    async def test_starting_twice_starts_once(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        first, second = await runtime.start("a"), await runtime.start("a")
        assert first.pid == second.pid != 0

    async def test_preparing_twice_is_preparing_once(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.prepare(make("a", SLEEPS))
        assert [status.id for status in await runtime.containers()] == ["a"]

    async def test_a_stubborn_container_is_killed_after_its_time(self, runtime, make):
        await runtime.prepare(make("stubborn", STUBBORN))
        await runtime.start("stubborn")
        status = await within(5, runtime.stop("stubborn", 0.2))
        assert (status.state, status.exit_code) == ("exited", 137)

    async def test_stopping_what_has_exited_tells_how_it_ended(self, runtime, make):
        await runtime.prepare(make("a", "exit 3"))
        await runtime.start("a")
        await within(5, runtime.wait("a"))
        assert (await runtime.stop("a", 1)).exit_code == 3

    async def test_removing_kills_and_forgets(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.start("a")
        waiter = asyncio.create_task(runtime.wait("a"))
        await asyncio.sleep(0)
        await runtime.remove("a")
        await runtime.remove("a")
        assert (await within(5, waiter)).state == "exited"
        with pytest.raises(NotFound):
            await runtime.status("a")

    async def test_an_image_that_is_not_there_is_missing(self, runtime, make):
        assert await runtime.image("localhost/nothing:1") is None
        with pytest.raises(ImageMissing):
            await runtime.prepare(make("a", SLEEPS, image="localhost/nothing:1"))
        assert list(await runtime.containers()) == []

    async def test_an_image_is_found_by_name_and_by_id(self, runtime):
        image = await runtime.image(IMAGE)
        assert IMAGE in image.names and await runtime.image(image.id) == image
        assert image in await runtime.images()

    async def test_a_name_that_cannot_be_is_refused(self, runtime):
        with pytest.raises(InvalidImageName):
            await runtime.pull("Not A Name")

    async def test_an_image_in_use_is_not_removed(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        with pytest.raises(ImageInUse):
            await runtime.remove_image(IMAGE)
        assert await runtime.image(IMAGE)

    async def test_files_of_an_image_that_is_not_there_cannot_be_shown(self, runtime, tmp_path):
        with pytest.raises(ImageMissing):
            await runtime.mount_image("localhost/nothing:1", str(tmp_path))

    async def test_removing_an_unknown_image_does_nothing(self, runtime):
        await runtime.remove_image("localhost/nothing:1")

    async def test_a_sandbox_is_created_once_and_remembered(self, runtime):
        spec = SandboxSpec("other", "other", "pod-other", labels={"a": "b"})
        await runtime.create_sandbox(spec)
        await runtime.create_sandbox(spec)
        assert [s for s in await runtime.sandboxes() if s.id == "other"] == [spec]

    async def test_removing_a_sandbox_removes_its_containers(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.start("a")
        await runtime.remove_sandbox("box")
        await runtime.remove_sandbox("box")
        assert (list(await runtime.containers()), list(await runtime.sandboxes())) == ([], [])

    async def test_a_container_needs_its_sandbox(self, runtime, make):
        with pytest.raises(NotFound):
            await runtime.prepare(make("a", SLEEPS, sandbox="nowhere"))

    async def test_what_cannot_start_has_exited_with_a_message(self, runtime, make):
        await runtime.prepare(make("broken", command=("/no/such/program",)))
        with pytest.raises(StartFailed):
            await runtime.start("broken")
        status = await runtime.status("broken")
        assert (status.state, status.exit_code) == ("exited", 128) and "/no/such/program" in status.message

    async def test_unknown_containers_are_named(self, runtime):
        for verb in (runtime.start, runtime.wait, runtime.status, runtime.usage):
            with pytest.raises(NotFound, match="nobody"):
                await verb("nobody")

    async def test_an_executed_command_gives_its_output_and_code(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.start("a")
        process = await runtime.execute("a", ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"])
        chunks = [chunk async for chunk in process.output()]
        assert sorted(chunks) == [(1, b"out\n"), (2, b"err\n")] and await within(5, process.wait()) == 7

    async def test_a_command_that_is_not_there_tells_so_and_ends_with_127(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.start("a")
        for tty in (False, True):
            process = await runtime.execute("a", ["/no/such/program"], tty=tty)
            output = b"".join([data async for _, data in process.output()])
            assert b"OCI runtime exec failed" in output and b'"/no/such/program"' in output
            assert await within(5, process.wait()) == 127
            process.close()

    async def test_an_executed_command_can_be_killed(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.start("a")
        process = await runtime.execute("a", ["/bin/sh", "-c", "sleep 1000"])
        await process.kill()
        assert await within(5, process.wait()) == 137

    async def test_nothing_is_executed_in_a_container_that_has_exited(self, runtime, make):
        await runtime.prepare(make("a", "exit 0"))
        await runtime.start("a")
        await within(5, runtime.wait("a"))
        with pytest.raises(NotFound):
            await runtime.execute("a", ["/bin/true"])

    async def test_only_running_containers_can_be_looked_into(self, runtime, make):
        await runtime.prepare(make("gone", "exit 0"))
        await runtime.start("gone")
        await within(5, runtime.wait("gone"))
        with pytest.raises(NotFound):
            await runtime.prepare(make("debug", SLEEPS, pid_of="gone"))
        assert "debug" not in [status.id for status in await runtime.containers()]

    async def test_usage_counts_processes(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.start("a")
        assert (await runtime.usage("a")).pids >= 1 and (await runtime.sandbox_usage("box")).pids >= 1

    async def test_usages_are_read_in_one_go_and_what_is_gone_is_left_out(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.start("a")
        assert (await runtime.usages(["box", "none"], ["a", "gone"], brief=True)).keys() == {"box", "a"}

    async def test_limits_can_change(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.start("a")
        await runtime.update("a", Resources(memory_limit_bytes=64 << 20, pids_limit=50))
        await runtime.update_sandbox("box", Resources(cpu_shares=512))

    async def test_purge_leaves_no_container(self, runtime, make):
        await runtime.prepare(make("a", SLEEPS))
        await runtime.start("a")
        await runtime.purge()
        assert (list(await runtime.containers()), list(await runtime.sandboxes())) == ([], [])
