"""One pod's life on a node, with a fake runtime and the real API server."""

from node_builders import gone, new_pod, on_a_node


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
