"""One pod's life on a node, with a fake runtime and the real API server."""

import asyncio
from pathlib import Path

from node_builders import PODS, container, gone, is_ready, new_pod, on_a_node, phase, waits
from tiphys.api import resources
from tiphys.api.errors import unavailable
from tiphys.node.pod import worker
from tiphys.runtime.fake import Answer

CONFIG_MAPS = resources.get("", "v1", "configmaps")


def test_a_pod_becomes_ready_and_goes(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod())
        status = await box.ready()
        assert status["phase"] == "Running" and status["podIP"] == "10.42.0.2"
        assert status["containerStatuses"][0]["containerID"] == f"crun://{box.run_id(pod)}"
        await box.delete()
        await box.until(gone)
        assert await box.runtime.sandboxes() == [] and await box.network.leases() == []
        assert not list((tmp_path / "data" / "pods").iterdir()) and not list((tmp_path / "logs").iterdir())

    on_a_node(tmp_path, scenario)


def test_events_tell_the_story_as_kubernetes_does(tmp_path):
    async def scenario(box):
        await box.create(new_pod())
        await box.ready()
        assert await box.events() == [
            ("Pulled", 'Container image "app:1" already present on machine and can be accessed by the pod'),
            ("Created", "Container created"),
            ("Started", "Container started"),
        ]

    on_a_node(tmp_path, scenario)


def test_a_crashing_container_is_restarted_at_once_and_then_backs_off(tmp_path):
    async def scenario(box):
        box.runtime.when_started = lambda spec: 3
        pod = await box.create(new_pod())
        status = await box.until(waits("CrashLoopBackOff"))
        state = status["containerStatuses"][0]
        assert state["restartCount"] == 1 and state["lastState"]["terminated"]["exitCode"] == 3
        assert state["state"]["waiting"]["message"].startswith(
            "back-off 10s restarting failed container=c pod=web_shop("
        )
        status = await box.until(lambda s: s["containerStatuses"][0]["restartCount"] == 3)
        assert ("BackOff", f"Back-off restarting failed container c in pod web_shop({pod['metadata']['uid']})") in (
            await box.events()
        )

    on_a_node(tmp_path, scenario)


def test_init_containers_run_one_after_another_before_the_mains(tmp_path):
    async def scenario(box):
        box.runtime.when_started = lambda spec: 0 if spec.name.startswith("init") else None
        inits = [container("init-a"), container("init-b"), container("side", restartPolicy="Always")]
        await box.create(new_pod(initContainers=inits))
        await box.ready()
        assert [spec.name for spec in box.runtime.specs()] == ["init-a", "init-b", "side", "c"]

    on_a_node(tmp_path, scenario)


def test_a_pod_that_may_not_restart_ends_with_its_containers(tmp_path):
    async def scenario(box):
        box.runtime.when_started = lambda spec: 0 if spec.name == "a" else 2
        await box.create(new_pod(containers=[container("a"), container("b")], restartPolicy="Never"))
        status = await box.until(phase("Failed"))
        codes = [c["state"]["terminated"]["exitCode"] for c in status["containerStatuses"]]
        assert codes == [0, 2]
        await asyncio.sleep(1)
        assert await box.network.leases() == []

    on_a_node(tmp_path, scenario)


def test_a_failing_liveness_probe_restarts_the_container(tmp_path):
    async def scenario(box):
        box.runtime.when_executed = lambda id_, command: Answer(1, b"sick")
        probe = {"exec": {"command": ["ok"]}, "periodSeconds": 2, "failureThreshold": 2}
        await box.create(new_pod(containers=[container(livenessProbe=probe)]))
        await box.until(lambda s: s.get("containerStatuses") and s["containerStatuses"][0]["restartCount"] == 1)
        events = await box.events()
        assert ("Unhealthy", "Liveness probe failed: sick") in events
        assert ("Killing", "Container c failed liveness probe, will be restarted") in events

    on_a_node(tmp_path, scenario)


def test_readiness_follows_its_probe(tmp_path):
    async def scenario(box):
        healthy = [False]
        box.runtime.when_executed = lambda id_, command: Answer(0 if healthy[0] else 1)
        probe = {"exec": {"command": ["ok"]}, "periodSeconds": 5}
        await box.create(new_pod(containers=[container(readinessProbe=probe)]))
        await box.until(phase("Running"))
        await asyncio.sleep(30)
        assert not is_ready(await box.status())
        healthy[0] = True
        await box.ready()

    on_a_node(tmp_path, scenario)


def test_a_program_that_is_ready_after_a_moment_is_found_before_the_first_period(tmp_path):
    async def scenario(box):
        checks = []
        box.runtime.when_executed = lambda id_, command: Answer(0 if len(checks) > 2 else checks.append(1) or 1)
        probe = {"exec": {"command": ["ok"]}, "periodSeconds": 10}
        await box.create(new_pod(containers=[container(readinessProbe=probe)]))
        began = box.now()
        await box.ready()
        assert box.now() - began < 1.5
        assert not [event for event in await box.events() if event[0] == "Unhealthy"]

    on_a_node(tmp_path, scenario)


def test_a_stubborn_container_is_killed_when_grace_is_over(tmp_path):
    async def scenario(box):
        box.runtime.stubborn.add("c")
        await box.create(new_pod(terminationGracePeriodSeconds=7))
        await box.ready()
        began = box.now()
        await box.delete()
        await box.until(gone)
        assert 7 <= box.now() - began < 8

    on_a_node(tmp_path, scenario)


def test_a_forced_deletion_does_not_wait_for_grace(tmp_path):
    async def scenario(box):
        box.runtime.stubborn.add("c")
        await box.create(new_pod())
        await box.ready()
        await box.delete()
        await asyncio.sleep(1)
        await box.delete(grace_seconds=0)
        await asyncio.sleep(3)
        assert await box.runtime.sandboxes() == [] and not box.agent.workers

    on_a_node(tmp_path, scenario)


def test_deleting_a_pod_interrupts_its_pull(tmp_path):
    async def scenario(box):
        box.runtime.pull = lambda reference, credentials=(): asyncio.sleep(3600)
        await box.create(new_pod(containers=[container(image="far:1")]))
        await asyncio.sleep(1)
        await box.delete()
        await asyncio.sleep(1)
        assert await box.get() is None

    on_a_node(tmp_path, scenario)


def test_a_missing_config_map_is_told_and_waited_for(tmp_path):
    async def scenario(box):
        source = [{"configMapRef": {"name": "settings"}}]
        await box.create(new_pod(containers=[container(envFrom=source)]))
        status = await box.until(waits("CreateContainerConfigError"))
        waiting = status["containerStatuses"][0]["state"]["waiting"]
        assert waiting["message"] == 'configmap "settings" not found'
        began = box.now()
        meta = {"name": "settings", "namespace": "shop"}
        await box.client.create(CONFIG_MAPS, {"kind": "ConfigMap", "metadata": meta, "data": {"MODE": "x"}}, "shop")
        await box.ready()
        assert box.now() - began < 1
        assert ("MODE", "x") in box.runtime.specs()[0].env

    on_a_node(tmp_path, scenario)


def test_a_config_map_volume_follows_its_object(tmp_path):
    async def scenario(box):
        meta = {"name": "settings", "namespace": "shop"}
        await box.client.create(CONFIG_MAPS, {"kind": "ConfigMap", "metadata": meta, "data": {"a": "1"}}, "shop")
        mounted = container(volumeMounts=[{"name": "v", "mountPath": "/v"}])
        volumes = [{"name": "v", "configMap": {"name": "settings"}}]
        await box.create(new_pod(containers=[mounted], volumes=volumes))
        await box.ready()
        file = Path(box.runtime.specs()[0].mounts[0].source) / "a"
        assert file.read_text() == "1"
        await box.client.patch(CONFIG_MAPS, ("shop", "settings"), {"data": {"a": "2"}})
        await asyncio.sleep(1)
        assert file.read_text() == "2"

    on_a_node(tmp_path, scenario)


def test_a_missing_volume_source_is_an_event_and_the_pod_waits(tmp_path):
    async def scenario(box):
        await box.create(new_pod(volumes=[{"name": "v", "secret": {"secretName": "none"}}]))
        await asyncio.sleep(1)
        text = 'MountVolume.SetUp failed for volume "v" : secret "none" not found'
        assert ("FailedMount", text) in await box.events()
        assert (await box.status())["phase"] == "Pending"

    on_a_node(tmp_path, scenario)


def test_hooks_run_after_start_and_before_stop(tmp_path):
    async def scenario(box):
        commands = []
        box.runtime.when_executed = lambda id_, command: commands.append(command[0]) or Answer()
        hooks = {"postStart": {"exec": {"command": ["hello"]}}, "preStop": {"exec": {"command": ["bye"]}}}
        await box.create(new_pod(containers=[container(lifecycle=hooks)]))
        await box.ready()
        assert commands == ["hello"]
        await box.delete()
        await box.until(gone)
        assert commands == ["hello", "bye"]

    on_a_node(tmp_path, scenario)


async def led_to_until(box, rules):
    """A ready pod that is being deleted; packet rules lead to it until `rules` is set."""

    async def withdrawn(uid):
        await rules.wait()

    await box.kill_agent()
    box.withdrawn = withdrawn
    await box.start_agent()
    await box.create(new_pod())
    await box.ready()
    await box.delete()


def test_a_pod_is_told_to_end_when_nobody_is_led_to_it_any_more(tmp_path):
    async def scenario(box):
        rules = asyncio.Event()
        await led_to_until(box, rules)
        await asyncio.sleep(1)
        assert "stop" not in dict(box.runtime.calls)
        rules.set()
        await box.until(gone)

    on_a_node(tmp_path, scenario)


def test_a_pod_is_told_to_end_also_where_rules_are_never_written(tmp_path):
    async def scenario(box):
        await led_to_until(box, asyncio.Event())
        began = box.now()
        await box.until(gone)
        assert 2 <= box.now() - began < 3

    on_a_node(tmp_path, scenario)


def test_a_failed_post_start_hook_kills_the_container(tmp_path):
    async def scenario(box):
        box.runtime.when_executed = lambda id_, command: Answer(1)
        hooks = {"postStart": {"exec": {"command": ["hello"]}}}
        await box.create(new_pod(containers=[container(lifecycle=hooks)], restartPolicy="Never"))
        await box.until(phase("Failed"))
        assert ("FailedPostStartHook", "PostStartHook failed") in await box.events()

    on_a_node(tmp_path, scenario)


def test_the_termination_message_is_reported(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod(restartPolicy="Never"))
        await box.ready()
        uid = pod["metadata"]["uid"]
        (tmp_path / "data" / "pods" / uid / "termination-c-0").write_text("out of tea")
        box.runtime.exit(box.run_id(pod), 1)
        status = await box.until(phase("Failed"))
        assert status["containerStatuses"][0]["state"]["terminated"]["message"] == "out of tea"

    on_a_node(tmp_path, scenario)


def test_the_active_deadline_ends_a_pod(tmp_path):
    async def scenario(box):
        await box.create(new_pod(activeDeadlineSeconds=20))
        await box.ready()
        status = await box.until(phase("Failed"))
        assert status["reason"] == "DeadlineExceeded"
        assert status["message"] == "Pod was active on the node longer than the specified deadline"

    on_a_node(tmp_path, scenario)


def test_a_new_image_restarts_just_that_container(tmp_path):
    async def scenario(box):
        box.runtime.add_image("app:2")
        pod = await box.create(new_pod(containers=[container(), container("other")]))
        await box.ready()
        images = [container(image="app:2"), container("other")]
        await box.client.patch(PODS, ("shop", "web"), {"spec": {"containers": images}})
        status = await box.until(lambda s: is_ready(s) and s["containerStatuses"][0]["restartCount"] == 1)
        assert status["containerStatuses"][0]["image"].endswith("app:2")
        assert (await box.runtime.status(box.run_id(pod, name="other"))).state == "running"

    on_a_node(tmp_path, scenario)


def test_a_quick_start_is_told_in_one_status(tmp_path):
    async def scenario(box):
        await box.create(new_pod())
        await box.ready()
        await asyncio.sleep(5)
        sent = [path for method, path in box.api.requests if method == "PATCH" and path.endswith("/pods/web/status")]
        assert len(sent) == 1

    on_a_node(tmp_path, scenario)


def test_a_start_that_fails_says_why(tmp_path):
    async def scenario(box):
        box.runtime.start_errors["c"] = "exec: no such file"
        await box.create(new_pod(restartPolicy="Never"))
        status = await box.until(phase("Failed"))
        ended = status["containerStatuses"][0]["state"]["terminated"]
        assert (ended["reason"], ended["exitCode"], ended["message"]) == ("StartError", 128, "exec: no such file")
        assert ("Failed", "Error: exec: no such file") in await box.events()

    on_a_node(tmp_path, scenario)


def test_a_debug_container_joins_a_running_pod(tmp_path):
    async def scenario(box):
        await box.create(new_pod())
        await box.ready()
        await box.client.patch(PODS, ("shop", "web"), {"spec": {"ephemeralContainers": [container("debug")]}})
        status = await box.until(lambda s: s.get("ephemeralContainerStatuses", [{}])[0].get("state", {}).get("running"))
        assert is_ready(status)

    on_a_node(tmp_path, scenario)


def test_a_debug_container_can_look_into_another(tmp_path):
    async def scenario(box):
        await box.create(new_pod())
        await box.ready()
        debug = container("debug") | {"targetContainerName": "c"}
        await box.client.patch(PODS, ("shop", "web"), {"spec": {"ephemeralContainers": [debug]}})
        await box.until(lambda s: s.get("ephemeralContainerStatuses", [{}])[0].get("state", {}).get("running"))
        main, beside = box.runtime.specs()
        assert (main.pid_of, beside.pid_of) == ("", main.id)

    on_a_node(tmp_path, scenario)


def test_new_limits_reach_the_running_container(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod())
        await box.ready()
        limits = {"limits": {"memory": "64Mi"}}
        await box.client.patch(PODS, ("shop", "web"), {"spec": {"containers": [container(resources=limits)]}})
        await asyncio.sleep(1)
        assert box.runtime.spec(box.run_id(pod)).resources.memory_limit_bytes == 64 << 20

    on_a_node(tmp_path, scenario)


def test_a_full_network_is_told_and_tried_again(tmp_path):
    async def scenario(box):
        box.network._free.clear()
        await box.create(new_pod())
        await asyncio.sleep(3)
        assert "FailedCreatePodSandBox" in [reason for reason, _ in await box.events()]
        box.network._free.append("10.42.0.9")
        assert (await box.ready())["podIP"] == "10.42.0.9"

    on_a_node(tmp_path, scenario)


def test_an_api_that_is_away_loses_nothing(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod(restartPolicy="Never"))
        await box.ready()
        box.api.fail = unavailable("down for a moment")
        box.runtime.exit(box.run_id(pod), 5)
        await asyncio.sleep(60)
        box.api.fail = None
        status = await box.until(phase("Failed"))
        assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 5

    on_a_node(tmp_path, scenario)


def test_a_worker_that_fails_begins_anew_and_the_agent_lives_on(tmp_path, monkeypatch):
    async def scenario(box):
        failures = [RuntimeError("a bug")]
        true_plan = worker.plan
        monkeypatch.setattr(worker, "plan", lambda *facts: _raise(failures.pop()) if failures else true_plan(*facts))
        await box.create(new_pod())
        await box.ready()

    on_a_node(tmp_path, scenario)


def _raise(error):
    raise error


def test_limits_that_the_kernel_refuses_are_told(tmp_path):
    async def scenario(box):
        async def refuse(run_id, resources):
            raise OSError(16, "Device or resource busy")

        await box.create(new_pod(containers=[container(resources={"limits": {"memory": "64Mi"}})]))
        await box.ready()
        box.runtime.update = refuse
        lower = {"spec": {"containers": [container(resources={"limits": {"memory": "1Mi"}})]}}
        await box.client.patch(PODS, ("shop", "web"), lower, subresource="resize")
        await asyncio.sleep(1)
        (text,) = [text for reason, text in await box.events() if reason == "ResizeError"]
        assert text.startswith("Pod resize error: ") and "Device or resource busy" in text

    on_a_node(tmp_path, scenario)
