"""Containers that decide by their exit code what is run again: themselves, or the whole pod."""

from node_builders import Box, container, new_pod, on_a_node

ANEW = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]


def restarts(status, part="containerStatuses"):
    return [one["restartCount"] for one in status.get(part, ())]


def restarting(status):
    return next((c["status"] for c in status.get("conditions", ()) if c["type"] == "AllContainersRestarting"), "")


def test_all_containers_begin_anew_when_one_says_so(tmp_path):
    async def scenario(box: Box):
        started: list[str] = []
        first = container("first", restartPolicy="Never")
        trigger = container("trigger", restartPolicy="Never", restartPolicyRules=ANEW)
        pod = new_pod(containers=[trigger, container("once")], initContainers=[first], restartPolicy="Never")
        box.runtime.when_started = lambda spec: started.append(spec.name) or (0 if spec.name == "first" else None)
        pod = await box.create(pod)
        await box.until(lambda s: restarting(s) == "False" and s["phase"] == "Running")
        box.runtime.exit(box.run_id(pod, 0, "trigger"), 42)
        await box.until(lambda s: restarts(s) == [1, 1] and restarting(s) == "False")
        assert started[-3] == "first" and sorted(started[-2:]) == ["once", "trigger"]
        status = await box.status()
        assert (restarts(status, "initContainerStatuses"), status["phase"]) == ([1], "Running")
        box.runtime.exit(box.run_id(pod, 1, "trigger"), 1)
        box.runtime.exit(box.run_id(pod, 1, "once"), 0)
        await box.until(lambda s: s["phase"] == "Failed")

    on_a_node(tmp_path, scenario)
