"""The fake keeps the contract, and tests can script it."""

import pytest

from runtime.suite import IMAGE, RuntimeContract
from tiphys.runtime.door import Credentials, PullFailed, SandboxSpec
from tiphys.runtime.fake import Answer, FakeRuntime, fake_image
from tiphys.runtime.refusals import refusal_of


@pytest.fixture
async def runtime():
    runtime = FakeRuntime()
    runtime.add_image(IMAGE)
    runtime.start_errors["broken"] = 'exec: "/no/such/program": no such file or directory'
    runtime.when_started = lambda spec: int(spec.args[0][5:]) if spec.args and spec.args[0][:4] == "exit" else None
    runtime.when_executed = answer
    runtime.stubborn.add("stubborn")
    await runtime.open()
    await runtime.create_sandbox(SandboxSpec("box", "box", "pod-box"))
    return runtime


def answer(container_id, command):
    if command == ["/no/such/program"]:
        refusal = refusal_of("No such file or directory", command)
        return Answer(refusal.code, b"", refusal.text.encode())
    return Answer(7, b"out\n", b"err\n") if "exit 7" in command[-1] else Answer(None)


class TestFakeRuntime(RuntimeContract):
    pass


async def test_pulls_what_the_registry_has(runtime):
    runtime.pullable["nginx"] = fake_image("nginx", user="nginx")
    image = await runtime.pull("docker.io/library/nginx:latest", [Credentials("me", "secret")])
    assert image.user == "nginx" and await runtime.image("nginx:latest") == image
    assert "secret" not in repr(runtime.pulls)


async def test_a_failing_pull_tells_its_cause(runtime):
    runtime.pull_errors["registry.example/app"] = "unauthorized: authentication required"
    with pytest.raises(PullFailed, match="unauthorized"):
        await runtime.pull("registry.example/app:latest")


async def test_a_container_exits_as_the_test_says(runtime, make):
    await runtime.prepare(make("a"))
    await runtime.start("a")
    runtime.exit("a", 137, oom_killed=True)
    assert (await runtime.wait("a")).oom_killed
