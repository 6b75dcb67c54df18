"""What a container sees and may do."""

import asyncio
from pathlib import Path

import pytest

from tiphys.runtime.door import Mount, Resources, SandboxSpec, Security, StartFailed

pytestmark = pytest.mark.host


async def test_runs_in_the_working_directory_with_the_environment_of_image_and_caller(run):
    assert await run("pwd; echo $GREETING $NAME; hostname", env=(("NAME", "me"),)) == ["/tmp", "hello me", "box"]


async def test_a_user_of_the_image_is_looked_up_in_its_own_files(run):
    assert await run("id -u; id -g; id -G", security=Security(user=1000)) == ["1000", "1001", "1001 50"]


async def test_groups_are_added(run):
    security = Security(user=5, group=6, supplemental_groups=(7,))
    assert await run("id -u; id -G", security=security) == ["5", "6 7"]


async def test_root_is_refused_where_it_must_not_be(real, make):
    with pytest.raises(StartFailed, match="container has runAsNonRoot and image will run as root"):
        await real.prepare(make("a", security=Security(run_as_non_root=True)))
    assert await real.containers() == []


async def test_holds_the_default_capabilities_and_no_others(run):
    assert await run("grep -E 'CapEff|NoNewPrivs|^Seccomp:' /proc/self/status | sed 's/[[:space:]]/ /g'") == [
        "CapEff: 00000000a80425fb",
        "NoNewPrivs: 0",
        "Seccomp: 2",
    ]


async def test_dropping_all_leaves_what_is_added(run):
    security = Security(drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",), no_new_privileges=True)
    lines = await run("grep -E 'CapEff|NoNewPrivs' /proc/self/status | sed 's/[[:space:]]/ /g'", security=security)
    assert lines == ["CapEff: 0000000000000400", "NoNewPrivs: 1"]


async def test_the_default_filter_forbids_mounts_and_a_privileged_container_has_none(run):
    line = "mount -t tmpfs none /tmp && echo mounted || echo refused"
    assert "refused" in await run(line, security=Security(add_capabilities=("MKNOD",)))
    assert await run(line, security=Security(privileged=True)) == ["mounted"]


async def test_a_read_only_root_takes_no_writes(run):
    assert "no" in await run("touch /x 2>/dev/null && echo yes || echo no", security=Security(read_only_root=True))


async def test_mounts_are_there_and_read_only_ones_stay_so(run, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v/file").write_text("content\n")
    mounts = [Mount(str(tmp_path / "v"), "/data", read_only=True), Mount("", "/mem", type="tmpfs")]
    line = "cat /data/file; touch /data/x 2>/dev/null || echo read-only; touch /mem/x && echo ok"
    assert await run(line, mounts=mounts) == ["content", "read-only", "ok"]


async def test_shared_memory_is_the_sandbox_own(real, make):
    await real.prepare(make("a", "echo hello > /dev/shm/x; while :; do sleep 100; done"))
    await real.prepare(make("b", "while ! grep -q hello /dev/shm/x; do sleep 0.01; done"))
    await real.start("a")
    await real.start("b")
    assert (await real.wait("b")).exit_code == 0


async def test_too_much_memory_is_told(real, make):
    hungry = "dd if=/dev/zero of=/dev/null bs=100M count=1"
    await real.prepare(make("a", hungry, resources=Resources(memory_limit_bytes=16 << 20)))
    await real.start("a")
    status = await real.wait("a")
    assert status.exit_code != 0 and status.oom_killed


async def test_a_sysctl_is_set_in_the_sandbox_alone(empty, make):
    with open("/proc/sys/kernel/shmmni") as before:
        value = before.read()
    await empty.create_sandbox(SandboxSpec("box", "box", "pod-box", sysctls={"kernel.shmmni": "77"}))
    await empty.prepare(make("a", "[ $(cat /proc/sys/kernel/shmmni) = 77 ]"))
    await empty.start("a")
    assert (await empty.wait("a")).exit_code == 0
    with open("/proc/sys/kernel/shmmni") as after:
        assert after.read() == value


async def test_containers_can_share_their_processes(empty, make):
    await empty.create_sandbox(SandboxSpec("box", "box", "pod-box", share_pid=True))
    await empty.prepare(make("a"))
    await empty.start("a")
    await empty.prepare(make("b", "[ $$ != 1 ] && grep -l sleep /proc/[0-9]*/comm"))
    await empty.start("b")
    assert (await empty.wait("b")).exit_code == 0


async def test_a_container_can_see_the_processes_of_another(real, make, run):
    await real.prepare(make("seen", "exec sleep 4321"))
    await real.start("seen")
    look = "for p in /proc/[0-9]*; do cat $p/cmdline; echo; done"
    assert "sleep" not in "".join(await run(look))
    assert any("4321" in line for line in await run(look, pid_of="seen"))


async def test_the_monitor_is_not_in_the_group_of_who_started_it(real, make, settings):
    await real.prepare(make("a"))
    await real.start("a")
    groups = Path("/proc", (settings.containers_dir / "a" / "conmon.pid").read_text(), "cgroup")
    for _ in range(1000):  # the move is not waited for
        if f"/{settings.cgroup_parent}/monitors\n" in groups.read_text():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(groups.read_text())


async def test_mount_points_cost_a_container_nothing(real, make, settings, tmp_path):
    """Each file that crun makes is charged to the container's cgroup, and outlives it in the file system's cache."""
    (tmp_path / "file").touch()
    mounts = (Mount(str(tmp_path), "/some/where/deep"), Mount(str(tmp_path / "file"), "/run/a/file"))
    await real.prepare(make("a", mounts=mounts))
    await real.start("a")
    assert list((settings.layers_dir / "a" / "upper").iterdir()) == []
