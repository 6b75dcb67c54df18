"""The agent on this machine's kernel: crun, conmon, namespaces, mounts; only the API is small."""

import asyncio

import pytest

from host_builders import real_box
from node_builders import PODS, container, new_pod
from tiphys.node.log_lines import LogOptions

pytestmark = pytest.mark.host

WEB = (
    "mkdir -p /tmp/w; echo hello > /tmp/w/index.html; echo serving; httpd -f -p 80 -h /tmp/w & trap 'exit 0' TERM; wait"
)


@pytest.fixture
async def box(tmp_path, host_lock, own_network):
    async with real_box(tmp_path) as box:
        yield box


def web(**fields):
    return container(command=["sh", "-c", WEB], readinessProbe={"httpGet": {"port": 80}}, **fields)


async def logs(box, **options):
    stream = await box.agent.here.logs("shop", "web", "c", LogOptions(**options))
    return b"".join([chunk async for chunk in stream])


async def test_a_pod_serves_survives_a_kill_of_the_agent_and_goes(box):
    await box.create(new_pod(containers=[web()]))
    await box.ready()
    assert await logs(box) == b"serving\n"
    await box.kill_agent()
    await box.start_agent()
    await asyncio.sleep(0.3)
    status = await box.ready()
    assert status["containerStatuses"][0]["restartCount"] == 0
    await box.delete()
    await box.until(lambda status: status == {})
    assert await box.runtime.sandboxes() == [] and await box.network.leases() == []


async def test_volumes_hooks_and_messages_work_in_a_real_container(box):
    script = "cat /t/token; echo bye > /dev/termination-log; exit 3"
    mounts = [{"name": "t", "mountPath": "/t", "readOnly": True}]
    token = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    one = container(command=["sh", "-c", script], volumeMounts=mounts)
    await box.create(new_pod(containers=[one], volumes=[token], restartPolicy="Never"))
    status = await box.until(lambda status: status.get("phase") == "Failed")
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (3, "bye\n")
    assert await logs(box) == b"token-of-default"


async def test_a_crashing_container_runs_again(box):
    await box.create(new_pod(containers=[container(command=["sh", "-c", "echo once; exit 1"])]))
    await box.until(lambda s: s.get("containerStatuses") and s["containerStatuses"][0]["restartCount"] == 1)
    assert await logs(box, previous=True) == b"once\n"


async def test_what_cannot_start_says_why(box):
    await box.create(new_pod(containers=[container(command=["nonsense"])], restartPolicy="Never"))
    status = await box.until(lambda status: status.get("phase") == "Failed")
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert ended["reason"] == "StartError" and "nonsense" in ended["message"]


async def test_sub_paths_and_memory_volumes_are_unmounted_at_the_end(box, tmp_path):
    mounts = [{"name": "disk", "mountPath": "/a", "subPath": "deep/er"}, {"name": "memory", "mountPath": "/b"}]
    volumes = [{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
    one = container(command=["sh", "-c", "echo x > /a/f; echo y > /b/g; sleep 60"], volumeMounts=mounts)
    pod = await box.create(new_pod(containers=[one], volumes=volumes, terminationGracePeriodSeconds=1))
    await box.ready()
    place = tmp_path / "data" / "pods" / pod["metadata"]["uid"] / "volumes" / "kubernetes.io~empty-dir"
    await asyncio.sleep(0.1)
    assert (place / "disk" / "deep" / "er" / "f").read_text() == "x\n" and (place / "memory" / "g").is_file()
    await box.delete()
    await box.until(lambda status: status == {})
    assert not list((tmp_path / "data" / "pods").iterdir())
    with open("/proc/self/mountinfo") as mounted:
        assert str(tmp_path / "data" / "pods") not in mounted.read()


async def test_a_debug_container_and_an_exec_probe_run_in_the_pod(box):
    probe = {"exec": {"command": ["test", "-f", "/tmp/w/index.html"]}}
    await box.create(new_pod(containers=[{**web(), "startupProbe": probe}]))
    await box.ready()
    debug = container("debug", command=["echo", "found you"])
    await box.client.patch(PODS, ("shop", "web"), {"spec": {"ephemeralContainers": [debug]}})
    await box.until(lambda s: "terminated" in (s.get("ephemeralContainerStatuses") or [{"state": {}}])[0]["state"])
    stream = await box.agent.here.logs("shop", "web", "debug", LogOptions())
    assert [chunk async for chunk in stream] == [b"found you\n"]
