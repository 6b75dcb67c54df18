"""The agent is killed, the machine reboots: nothing restarts that need not, nothing runs twice or is left over."""

import asyncio

from node_builders import PODS, container, gone, is_ready, new_pod, on_a_node, phase
from tiphys.node.recovery import runs_of_status

TERMINATED = {"exitCode": 1, "finishedAt": "2027-01-15T08:00:00Z", "containerID": "crun://old"}


def starts(box):
    return [id_ for verb, id_ in box.runtime.calls if verb == "start"]


def reboot(box):
    """Processes, namespaces and leases are gone; the API remembers."""
    box.runtime._containers.clear()
    box.runtime._sandboxes.clear()
    box.network._leases.clear()


def test_a_killed_agent_finds_its_pods_running(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod())
        await box.ready()
        await box.kill_agent()
        await box.start_agent()
        await asyncio.sleep(5)
        assert is_ready(await box.status()) and len(starts(box)) == 1
        box.runtime.exit(box.run_id(pod), 1)
        status = await box.until(lambda s: s["containerStatuses"][0]["restartCount"] == 1)
        assert status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1

    on_a_node(tmp_path, scenario)


def test_an_exit_while_no_agent_ran_is_reported(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod(restartPolicy="Never"))
        await box.ready()
        await box.kill_agent()
        box.runtime.exit(box.run_id(pod), 4)
        await box.start_agent()
        status = await box.until(phase("Failed"))
        assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
        assert len(starts(box)) == 1

    on_a_node(tmp_path, scenario)


def test_a_deleted_pod_that_has_failed_already_is_removed(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod(restartPolicy="Never"))
        await box.ready()
        await box.kill_agent()
        box.runtime.exit(box.run_id(pod), 143)
        await box.delete()
        await box.client.patch(PODS, ("shop", "web"), {"status": {"phase": "Failed"}}, subresource="status")
        await box.start_agent()
        await box.until(gone)

    on_a_node(tmp_path, scenario)


def test_a_pod_deleted_while_no_agent_ran_is_stopped(tmp_path):
    async def scenario(box):
        await box.create(new_pod())
        await box.ready()
        await box.kill_agent()
        await box.delete()
        await box.start_agent()
        await box.until(gone)
        assert await box.runtime.sandboxes() == []

    on_a_node(tmp_path, scenario)


def test_what_belongs_to_no_pod_is_cleared_away(tmp_path):
    async def scenario(box):
        await box.create(new_pod())
        await box.ready()
        await box.kill_agent()
        await box.delete(grace_seconds=0)
        await box.start_agent()
        await asyncio.sleep(5)
        assert await box.runtime.sandboxes() == [] and await box.network.leases() == []
        assert not list((tmp_path / "data" / "pods").iterdir()) and not list((tmp_path / "logs").iterdir())

    on_a_node(tmp_path, scenario)


def test_after_a_reboot_a_pod_is_rebuilt_as_the_next_run(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod())
        await box.ready()
        await box.kill_agent()
        reboot(box)
        await box.start_agent()
        status = await box.until(lambda s: is_ready(s) and s["containerStatuses"][0]["restartCount"] == 1)
        assert status["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
        assert starts(box) == [box.run_id(pod), box.run_id(pod, 1)]
        assert "SandboxChanged" in [reason for reason, _ in await box.events()]

    on_a_node(tmp_path, scenario)


def test_after_a_reboot_a_pod_that_may_run_once_has_failed(tmp_path):
    async def scenario(box):
        await box.create(new_pod(restartPolicy="Never"))
        await box.ready()
        await box.kill_agent()
        reboot(box)
        await box.start_agent()
        await box.until(phase("Failed"))
        assert len(starts(box)) == 1

    on_a_node(tmp_path, scenario)


def test_after_a_reboot_init_containers_run_again_first(tmp_path):
    async def scenario(box):
        box.runtime.when_started = lambda spec: 0 if spec.name == "init" else None
        await box.create(new_pod(initContainers=[container("init")]))
        await box.ready()
        await box.kill_agent()
        reboot(box)
        await box.start_agent()
        await box.until(lambda s: is_ready(s) and s["containerStatuses"][0]["restartCount"] == 1)
        assert [spec.name for spec in box.runtime.specs()] == ["init", "c"]

    on_a_node(tmp_path, scenario)


def test_a_finished_pod_stays_as_it_was_told(tmp_path):
    async def scenario(box):
        box.runtime.when_started = lambda spec: 0
        await box.create(new_pod(restartPolicy="Never"))
        before = await box.until(phase("Succeeded"))
        await box.kill_agent()
        reboot(box)
        await box.start_agent()
        await asyncio.sleep(5)
        after = await box.status()
        assert after["containerStatuses"] == before["containerStatuses"] and len(starts(box)) == 1
        await box.delete()
        await box.until(gone)

    on_a_node(tmp_path, scenario)


def test_readiness_does_not_flap_when_the_agent_restarts(tmp_path):
    async def scenario(box):
        probe = {"exec": {"command": ["ok"]}}
        await box.create(new_pod(containers=[container(readinessProbe=probe)]))
        await box.ready()
        await box.kill_agent()
        version = (await box.client.get(PODS, "web", "shop"))["metadata"]["resourceVersion"]
        await box.start_agent()
        await asyncio.sleep(5)
        assert (await box.client.get(PODS, "web", "shop"))["metadata"]["resourceVersion"] == version

    on_a_node(tmp_path, scenario)


def test_a_status_of_a_restarted_container_tells_of_two_runs():
    running = {"running": {"startedAt": "2027-01-15T08:00:10Z"}}
    runs = runs_of_status({"restartCount": 3, "state": running, "lastState": {"terminated": TERMINATED}}, 0.0)
    assert [(run.attempt, run.exit_code) for run in sorted(runs, key=lambda run: run.attempt)] == [(2, 1), (3, 137)]


def test_the_last_run_of_a_waiting_container_has_its_own_count():
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    runs = runs_of_status({"restartCount": 3, "state": state, "lastState": {"terminated": TERMINATED}}, 0.0)
    assert [run.attempt for run in runs] == [3]
