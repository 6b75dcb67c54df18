"""A workload that follows its configuration restarts when the contents change, and only then."""

from builders import deployment
from tiphys.api import resources
from tiphys.controllers.deployment.controller import DeploymentController
from tiphys.controllers.restart.controller import RestartController
from tiphys.controllers.restart.plan import digest, plan, references
from tiphys.reconcile.commands import Say

DEPLOYMENTS = resources.get("apps", "v1", "deployments")
NOTE = "tiphys.io/configuration"
MAP, KEY = ("configmaps", "settings"), ("secrets", "password")
USES = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "password"}}]


def following(noted=None):
    made = deployment(1, annotations={"tiphys.io/restart-on-change": "true"} | ({NOTE: noted} if noted else {}))
    made["spec"]["template"]["spec"]["containers"][0]["envFrom"] = USES
    return made


def planned(noted=None, **digests):
    found = {MAP: digests.get("map"), KEY: digests.get("key")}
    return plan(DEPLOYMENTS, following(noted), {one: value for one, value in found.items() if value})


def notes(commands):
    """(on the workload, in its template)."""
    change = commands[0].patch
    inside = change.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {})
    return change["metadata"]["annotations"][NOTE], inside.get(NOTE)


def test_settled_means_no_commands():
    assert planned("configmap/settings=a,secret/password=b", map="a", key="b") == []
    assert planned() == []


def test_what_is_there_at_first_is_only_noted():
    commands = planned(map="a", key="b")
    assert notes(commands) == ("configmap/settings=a,secret/password=b", None) and len(commands) == 1


def test_a_change_restarts_and_is_told():
    commands = planned("configmap/settings=a,secret/password=b", map="a", key="c")
    after = "configmap/settings=a,secret/password=c"
    assert notes(commands) == (after, after)
    assert isinstance(commands[1], Say) and commands[1].message == "Restarts, because of changes in secret/password"


def test_what_comes_into_being_restarts_nobody_and_neither_does_what_goes():
    assert notes(planned("configmap/settings=a", map="a", key="b"))[1] is None
    assert planned("configmap/settings=a,secret/password=b", map="a") == []


def test_what_is_not_referred_to_any_more_is_forgotten():
    assert notes(planned("configmap/settings=a,secret/other=b", map="a")) == ("configmap/settings=a", None)


def test_a_pull_secret_is_no_configuration():
    owner = following()
    owner["spec"]["template"]["spec"]["imagePullSecrets"] = [{"name": "registry"}]
    assert references(owner) == [MAP, KEY]


def test_only_the_contents_count():
    assert digest({"data": {"a": "1"}, "metadata": {"labels": {"x": "y"}}}) == digest({"data": {"a": "1"}})
    assert digest({"data": {"a": "1"}}) != digest({"binaryData": {"a": "1"}})


def test_a_secret_cannot_be_guessed_from_its_note():
    one, other = ({"kind": "Secret", "metadata": {"uid": uid}, "data": {"a": "MQ=="}} for uid in ("x", "y"))
    assert digest(one) != digest(other)


async def test_a_deployment_rolls_over_when_its_configmap_changes(plane):
    await plane.start(DeploymentController, RestartController)
    settings = await plane.create("v1", "ConfigMap", "settings", data={"colour": "red"})
    made = following()
    wanted = await plane.create("apps/v1", "Deployment", "web", spec=made["spec"])
    await plane.patch(wanted, {"metadata": {"annotations": made["metadata"]["annotations"]}})
    await plane.settled()
    assert len(await plane.names("ReplicaSet", "apps/v1")) == 1
    await plane.patch(settings, {"metadata": {"labels": {"x": "y"}}})
    await plane.settled()
    assert len(await plane.names("ReplicaSet", "apps/v1")) == 1
    await plane.patch(settings, {"data": {"colour": "blue"}})
    await plane.settled()
    assert len(await plane.names("ReplicaSet", "apps/v1")) == 2 and "RestartOnChange" in await plane.reasons()
