"""What the HTTPS server of the node is told."""

import asyncio
from pathlib import Path

import pytest

from node_builders import container, new_pod, on_a_node, waits
from tiphys.api.errors import StatusError
from tiphys.node.log_lines import LogOptions


async def refused(asked):
    with pytest.raises(StatusError) as caught:
        await asked
    return str(caught.value)


def test_a_running_container_is_found(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod())
        await box.ready()
        here = box.agent.here
        assert here.running("shop", "web", "c") == box.run_id(pod)
        assert here.network("shop", "web") == Path("/fake/netns/10.42.0.2")
        assert here.pods()[0]["status"]["phase"] == "Running"
        assert [usage.containers.keys() for usage in await here.usages()] == [{"c"}]

    on_a_node(tmp_path, scenario)


def test_logs_of_this_run_and_the_one_before(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod())
        await box.ready()
        box.runtime.exit(box.run_id(pod), 1)
        await box.until(lambda s: s["containerStatuses"][0]["restartCount"] == 1)
        folder = tmp_path / "logs" / f"shop_web_{pod['metadata']['uid']}" / "c"
        for attempt in (0, 1):
            (folder / f"{attempt}.log").write_text(f"2027-01-15T08:00:00.1Z stdout F run {attempt}\n")
        for previous, text in ((False, b"run 1\n"), (True, b"run 0\n")):
            log = await box.agent.here.logs("shop", "web", "c", LogOptions(previous=previous))
            assert [chunk async for chunk in log] == [text]

    on_a_node(tmp_path, scenario)


def test_a_follower_ends_with_its_container(tmp_path):
    async def scenario(box):
        pod = await box.create(new_pod(restartPolicy="Never"))
        await box.ready()
        log = await box.agent.here.logs("shop", "web", "c", LogOptions(follow=True))
        reading = asyncio.ensure_future(anext(log, b"the end"))
        await asyncio.sleep(5)
        assert not reading.done()
        box.runtime.exit(box.run_id(pod))
        assert await reading == b"the end"

    on_a_node(tmp_path, scenario)


def test_what_is_not_there_is_said_in_the_kubelets_words(tmp_path):
    async def scenario(box):
        here = box.agent.here
        await box.create(new_pod(containers=[container(image="far:1")]))
        await box.until(waits("ImagePullBackOff"))
        text = 'container "c" in pod "web" is waiting to start: ImagePullBackOff'
        assert await refused(here.logs("shop", "web", "c", LogOptions())) == text
        text = 'previous terminated container "c" in pod "web" not found'
        assert await refused(here.logs("shop", "web", "c", LogOptions(previous=True))) == text
        assert await refused(here.logs("shop", "web", "x", LogOptions())) == "container x is not valid for pod web"
        assert await refused(here.logs("shop", "no", "c", LogOptions())) == 'pods "no" not found'
        with pytest.raises(StatusError, match="container not found"):
            here.running("shop", "web", "c")

    on_a_node(tmp_path, scenario)
