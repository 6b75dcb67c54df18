"""Pull policy, back-off and credentials, with the kubelet's words."""

import asyncio
import base64
import json

from node_builders import container, new_pod, on_a_node, waits
from tiphys.api import resources
from tiphys.node.images import policy_of
from tiphys.node.pull_secrets import credentials_for
from tiphys.runtime.door import Credentials
from tiphys.runtime.fake import fake_image

SECRETS = resources.get("", "v1", "secrets")


def secret(auths, name="pull"):
    data = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    return {"kind": "Secret", "metadata": {"name": name, "namespace": "shop"}, "data": {".dockerconfigjson": data}}


def user(name):
    return {"auth": base64.b64encode(f"{name}:secret".encode()).decode()}


def test_a_failed_pull_tells_its_cause_and_backs_off(tmp_path):
    async def scenario(box):
        box.runtime.pull_errors["far:1"] = "registry is on fire"
        await box.create(new_pod(containers=[container(image="far:1")]))
        status = await box.until(waits("ErrImagePull"))
        assert status["containerStatuses"][0]["state"]["waiting"]["message"] == "registry is on fire"
        status = await box.until(waits("ImagePullBackOff"))
        message = status["containerStatuses"][0]["state"]["waiting"]["message"]
        assert message == 'Back-off pulling image "far:1": ErrImagePull: registry is on fire'
        events = await box.events()
        assert ("Failed", 'Failed to pull image "far:1": registry is on fire') in events
        assert events[-2:] == [("BackOff", 'Back-off pulling image "far:1"'), ("Failed", "Error: ImagePullBackOff")]

    on_a_node(tmp_path, scenario)


def test_a_registry_that_recovers_is_asked_again_after_the_back_off(tmp_path):
    async def scenario(box):
        await box.create(new_pod(containers=[container(image="far:1")]))
        await box.until(waits("ImagePullBackOff"))
        box.runtime.pullable["far:1"] = fake_image("far:1")
        began = box.now()
        await box.ready()
        assert 8 < box.now() - began < 11 and len(box.runtime.pulls) == 2

    on_a_node(tmp_path, scenario)


def test_a_pull_is_told_with_its_size(tmp_path):
    async def scenario(box):
        box.runtime.pullable["far:1"] = fake_image("far:1")
        await box.create(new_pod(containers=[container(image="far:1")]))
        await box.ready()
        text = 'Successfully pulled image "far:1" in 0ms (0ms including waiting). Image size: 1000000 bytes.'
        node = await box.client.get(resources.get("", "v1", "nodes"), "n1")
        assert "docker.io/library/far:1" in str(node["status"]["images"])
        assert (await box.events())[:2] == [("Pulling", 'Pulling image "far:1"'), ("Pulled", text)]

    on_a_node(tmp_path, scenario)


def test_the_same_image_is_pulled_once_for_many(tmp_path):
    async def scenario(box):
        box.runtime.pullable["far:1"] = fake_image("far:1")
        pull = box.runtime.pull

        async def slow(reference, credentials=()):
            await asyncio.sleep(2)
            return await pull(reference, credentials)

        box.runtime.pull = slow
        await box.create(new_pod("a", containers=[container(image="far:1")]))
        await box.create(new_pod("b", containers=[container("x", image="far:1"), container("y", image="far:1")]))
        await box.ready("a")
        await box.ready("b")
        assert len(box.runtime.pulls) == 1

    on_a_node(tmp_path, scenario)


def test_policy_never_and_bad_names_say_so(tmp_path):
    async def scenario(box):
        await box.create(new_pod("a", containers=[container(image="far:1", imagePullPolicy="Never")]))
        status = await box.until(waits("ErrImageNeverPull"), "a")
        message = status["containerStatuses"][0]["state"]["waiting"]["message"]
        assert message == 'Container image "far:1" is not present with pull policy of Never'
        await box.create(new_pod("b", containers=[container(image="UPPER:1")]))
        status = await box.until(waits("InvalidImageName"), "b")
        assert "invalid reference format" in status["containerStatuses"][0]["state"]["waiting"]["message"]

    on_a_node(tmp_path, scenario)


def test_pull_secrets_reach_the_registry_and_missing_ones_are_told(tmp_path):
    async def scenario(box):
        await box.client.create(SECRETS, secret({"reg.example": user("ann")}), "shop")
        box.runtime.pullable["reg.example/app:1"] = fake_image("reg.example/app:1")
        names = [{"name": "pull"}, {"name": "none"}]
        await box.create(new_pod(containers=[container(image="reg.example/app:1")], imagePullSecrets=names))
        await box.ready()
        assert box.runtime.pulls[0][1] == (Credentials("ann", "secret"),)
        assert "FailedToRetrieveImagePullSecret" in [reason for reason, _ in await box.events()]

    on_a_node(tmp_path, scenario)


def test_credentials_go_to_their_registry_only_the_most_specific_first():
    held = [secret({"*.example": user("star"), "reg.example/team": user("team"), "other.example": user("no")})]
    found = credentials_for("reg.example/team/app:1", held)
    assert [credentials.username for credentials in found] == ["team", "star"]
    assert [c.username for c in credentials_for("reg.example:5000/app", held)] == []


def test_docker_hub_goes_by_many_names():
    held = [secret({"https://index.docker.io/v1/": user("hub")})]
    assert credentials_for("nginx", held) == credentials_for("docker.io/library/nginx:1", held) != []


def test_a_damaged_pull_secret_gives_nothing():
    assert credentials_for("nginx", [{"data": {".dockerconfigjson": "bm9wZQ=="}}, {"data": {}}]) == []


def test_only_latest_is_always_pulled_by_default():
    images = ["a", "a:latest", "r:5000/a", "a:1", "a@sha256:0"]
    always = [policy_of({"image": image}) == "Always" for image in images]
    assert always == [True, True, True, False, False]
