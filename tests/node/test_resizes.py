"""Resizes in place: what is granted, what waits, in what order limits are written, and what outlives the agent."""

import json
from dataclasses import replace

from node_builders import MACHINE, PODS, Box, container, new_pod, on_a_node, settings
from tiphys.node import allocation
from tiphys.node.pod.commands import ApplyResize, Stop, WakeAt
from tiphys.node.pod.facts import ContainerFacts, Held, PodFacts, Resize, Run, Step, Waiting
from tiphys.node.pod.plan import plan
from tiphys.node.pod.spec import spec_hash
from tiphys.node.pod.status import Host, pod_status
from tiphys.runtime.door import Usage

NOW = 1000.0
DONE = Step(done=True)
RESTARTS = {"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
NODE = {"metadata": {"name": "n1"}, "status": {"allocatable": dict(MACHINE.allocatable)}}


def sized(memory="64Mi", cpu="1", *, name="web", **fields):
    same = {"cpu": cpu, "memory": memory}
    pod = new_pod(name, [container(resources={"requests": same, "limits": same}, **fields)])
    return {**pod, "metadata": {**pod["metadata"], "uid": name, "generation": 1}}


def facts(pod, **fields):
    run = Run("r", 0, "running", hash=spec_hash(pod["spec"]["containers"][0]))
    return PodFacts(DONE, DONE, {"c": ContainerFacts((run,), started=True, ready=True)}, initialized=True, **fields)


# what is granted


def test_a_resize_fits_waits_or_never_fits():
    assert allocation.objection(sized(cpu="2"), [sized(name="other")], NODE) is None
    text = "Node didn't have enough resource: cpu, requested: 4000, used: 1000, capacity: 4000"
    assert allocation.objection(sized(cpu="4"), [sized(name="other")], NODE) == Waiting("Deferred", text)
    text = "Node didn't have enough capacity: memory, requested: 9663676416, capacity: 8589934592"
    assert allocation.objection(sized("9Gi"), [], NODE) == Waiting("Infeasible", text)


def test_a_static_pod_is_what_its_file_says():
    pod = sized()
    pod["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert allocation.objection(pod, [], NODE) == Waiting(
        "Infeasible", "In-place resize of static-pods is not supported"
    )


def test_a_pod_keeps_what_it_was_given():
    given = allocation.allocation_of(sized("64Mi"))
    assert allocation.as_allocated(wanted := sized("128Mi"), given)["spec"] == sized("64Mi")["spec"]
    assert allocation.as_allocated(same := sized("64Mi"), given) is same
    assert wanted["spec"] == sized("128Mi")["spec"]


def test_the_status_tells_what_was_given_if_nothing_else_does():
    wanted = sized("128Mi")
    held = sized("64Mi")["spec"]["containers"][0]["resources"]
    wanted["status"] = {"containerStatuses": [{"name": "c", "resources": held}]}
    assert allocation.reported(wanted) == allocation.allocation_of(sized("64Mi"))


def test_who_matters_more_is_asked_first():
    first, second = sized(), new_pod()
    second["spec"]["priority"] = 5
    assert allocation.turn(second, 9.0) < allocation.turn(first, 1.0) < allocation.turn(new_pod(), 0.0)


# the plan and the status


def test_limits_are_written_once_and_again_after_a_while():
    pod, change = sized(), Resize({"containers": {}, "pod": {}})
    assert plan(pod, facts(pod, resize=change), NOW) == [ApplyResize()]
    assert plan(pod, facts(pod, resize=replace(change, step=Step(busy=True))), NOW) == []
    assert plan(pod, facts(pod, resize=replace(change, step=Step(retry_at=NOW + 5))), NOW) == [WakeAt(NOW + 5)]


def test_settled_means_no_commands():
    pod = sized()
    assert plan(pod, facts(pod, held=Held("Deferred", "no room", 2)), NOW) == []


def test_who_wants_a_restart_for_it_is_restarted_when_the_pod_has_grown():
    before, after = sized("64Mi", **RESTARTS), sized("128Mi", **RESTARTS)
    change = Resize(allocation.allocation_of(before), 2)
    assert plan(after, facts(before, resize=change), NOW) == [ApplyResize()]
    written = facts(before, resize=replace(change, step=DONE))
    assert plan(after, written, NOW) == [Stop("c", "r", 30, "Container c resize requires restart")]
    assert plan(after, facts(after, resize=replace(change, step=DONE)), NOW) == [ApplyResize()]


def test_the_status_tells_what_holds_what_was_given_and_what_waits():
    before, after = sized("64Mi"), sized("128Mi")
    after["metadata"]["generation"] = 3
    known = facts(after, resize=Resize(allocation.allocation_of(before), 2), held=Held("Deferred", "no room", 3))
    status = pod_status(after, known, {}, NOW, Host("192.0.2.1"))
    conditions = [(c["type"], c["status"], c["observedGeneration"], c.get("reason")) for c in status["conditions"]]
    assert conditions[:2] == [
        ("PodResizePending", "True", 3, "Deferred"),
        ("PodResizeInProgress", "True", 2, None),
    ]
    shown = status["containerStatuses"][0]
    assert shown["allocatedResources"]["memory"] == "128Mi"
    assert shown["resources"]["limits"]["memory"] == "64Mi"
    settled = pod_status(after, facts(after), status, NOW, Host("192.0.2.1"))
    assert settled["containerStatuses"][0]["resources"]["limits"]["memory"] == "128Mi"
    assert not {"PodResizePending", "PodResizeInProgress"} & {c["type"] for c in settled["conditions"]}


# the agent


async def resize(box: Box, pod, name="web"):
    """The object asks for what `pod` asks for."""
    known = await box.get(name)
    assert known is not None
    meta = {**known["metadata"], "generation": known["metadata"].get("generation", 1) + 1}
    return await box.client.update(PODS, {**known, "metadata": meta, "spec": pod["spec"]})


def condition(status, kind):
    return next((c for c in status.get("conditions", ()) if c["type"] == kind), None)


def limits_of(box: Box, pod):
    spec = next(spec for spec in box.runtime.specs() if spec.id == box.run_id(pod))
    return spec.resources.memory_limit_bytes >> 20


def test_a_resize_is_in_force_without_a_restart(tmp_path):
    async def scenario(box: Box):
        pod = await box.create(sized("64Mi"))
        await box.ready()
        await resize(box, sized("128Mi"))
        status = await box.until(
            lambda s: (
                s["containerStatuses"][0]["resources"]["limits"]["memory"] == "128Mi"
                and not condition(s, "PodResizeInProgress")
            )
        )
        assert status["containerStatuses"][0]["restartCount"] == 0
        assert limits_of(box, pod) == 128
        assert {"ResizeStarted", "ResizeCompleted"} <= {reason for reason, _ in await box.events()}
        assert not list((box.root / "data/pods").glob("*/allocation.json"))

    on_a_node(tmp_path, scenario)


def test_a_deferred_resize_is_granted_when_there_is_room_also_by_another_agent(tmp_path):
    async def scenario(box: Box):
        pod = await box.create(sized(cpu="1"))
        await box.create(sized(cpu="2", name="other"))
        await box.ready("other")
        await resize(box, sized(cpu="3"))
        status = await box.until(lambda s: condition(s, "PodResizePending"))
        assert condition(status, "PodResizePending")["reason"] == "Deferred"
        assert status["containerStatuses"][0]["allocatedResources"]["cpu"] == "1"
        await box.kill_agent()
        await box.start_agent()
        assert limits_of(box, pod) == 64
        await box.delete("other")
        status = await box.until(
            lambda s: (
                not condition(s, "PodResizePending") and s["containerStatuses"][0]["allocatedResources"]["cpu"] == "3"
            )
        )
        assert status["containerStatuses"][0]["restartCount"] == 0

    on_a_node(tmp_path, scenario)


def test_a_wish_of_the_time_without_an_agent_is_not_taken_for_a_grant(tmp_path):
    async def scenario(box: Box):
        await box.create(sized("64Mi"))
        await box.ready()
        await box.kill_agent()
        await resize(box, sized("9Gi"))
        await box.start_agent()
        status = await box.until(lambda s: condition(s, "PodResizePending"))
        assert condition(status, "PodResizePending")["reason"] == "Infeasible"
        assert status["containerStatuses"][0]["allocatedResources"]["memory"] == "64Mi"

    on_a_node(tmp_path, scenario)


def test_a_grant_that_was_not_written_yet_is_written_by_the_next_agent(tmp_path):
    async def scenario(box: Box):
        pod = await box.create(sized("64Mi"))
        await box.ready()
        await box.kill_agent()
        saved = {
            "given": allocation.allocation_of(sized("128Mi")),
            "before": allocation.allocation_of(sized("64Mi")),
            "generation": 2,
        }
        path = settings(tmp_path).pods_dir / pod["metadata"]["uid"] / "allocation.json"
        path.write_text(json.dumps(saved))
        await resize(box, sized("128Mi"))
        await box.start_agent()
        await box.until(lambda s: s["containerStatuses"][0]["resources"]["limits"]["memory"] == "128Mi")
        assert limits_of(box, pod) == 128
        await box.until(lambda _: not path.exists())

    on_a_node(tmp_path, scenario)


def test_memory_that_is_in_use_is_not_taken_away(tmp_path):
    async def scenario(box: Box):
        pod = await box.create(sized("128Mi"))
        await box.ready()
        box.runtime.used[box.run_id(pod)] = Usage(0, 100 << 20, 100 << 20, 1)
        await resize(box, sized("64Mi"))
        status = await box.until(lambda s: (condition(s, "PodResizeInProgress") or {}).get("reason") == "Error")
        assert condition(status, "PodResizeInProgress")["message"] == (
            'cannot decrease memory limits: attempting to set container "c" memory limit (67108864) '
            "below current usage (104857600)"
        )
        assert status["containerStatuses"][0]["resources"]["limits"]["memory"] == "128Mi"
        box.runtime.used.clear()
        await box.until(lambda s: not condition(s, "PodResizeInProgress"))
        assert limits_of(box, pod) == 64

    on_a_node(tmp_path, scenario)


def test_who_wants_it_is_restarted_with_the_new_resources(tmp_path):
    async def scenario(box: Box):
        await box.create(sized("64Mi", **RESTARTS))
        await box.ready()
        await resize(box, sized("128Mi", **RESTARTS))
        status = await box.until(
            lambda s: (
                s["containerStatuses"][0]["restartCount"] == 1
                and "running" in s["containerStatuses"][0]["state"]
                and not condition(s, "PodResizeInProgress")
            )
        )
        assert status["containerStatuses"][0]["resources"]["limits"]["memory"] == "128Mi"
        assert "Container c resize requires restart" in [text for _, text in await box.events()]

    on_a_node(tmp_path, scenario)
