"""A pod that depends on others waits until they do their work, says what it waits for, and then goes on for good."""

import pytest

from builders import daemonset, deployment, pod, statefulset
from tiphys.api import own_annotations
from tiphys.controllers.dependencies.controller import DependenciesController
from tiphys.controllers.dependencies.plan import circle_of, lack, plan
from tiphys.reconcile.commands import Patch, Say

GATE = {"name": "tiphys.io/depends-on"}
NEEDS = {"tiphys.io/depends-on": "deploy/db, job/migrate"}


def gated(waits_for=None):
    made = pod("web", node="", ready=False, phase="Pending", schedulingGates=[GATE])
    made["metadata"]["annotations"] = NEEDS | ({"tiphys.io/waits-for": waits_for} if waits_for else {})
    return made


def missing(said, obj, **more):
    (dependency,) = own_annotations.dependencies(said)
    return lack(dependency, obj, **more)


def with_status(obj, **status):
    return {**obj, "status": {"observedGeneration": 1, **status}}


def job(condition):
    return {"metadata": {"name": "migrate"}, "status": {"conditions": [{"type": condition, "status": "True"}]}}


def test_settled_means_no_commands():
    assert plan(pod("web"), []) == []
    assert plan(gated("deploy/db (is not there)"), ["deploy/db (is not there)"]) == []


def test_what_it_waits_for_is_noted_and_told_once():
    patch, said = plan(gated(), ["deploy/db (is not there)"])
    assert patch.patch["metadata"]["annotations"] == {"tiphys.io/waits-for": "deploy/db (is not there)"}
    assert (said.reason, said.message) == ("WaitingForDependencies", "Waits for deploy/db (is not there)")


def test_the_gate_is_lifted_when_nothing_is_lacking():
    patch, said = plan(gated("x"), [])
    assert patch.patch["spec"]["schedulingGates"] == [{**GATE, "$patch": "delete"}]
    assert isinstance(patch, Patch) and said.reason == "DependenciesMet"


def test_a_pod_that_waits_for_itself_is_warned():
    _, said = plan(gated(), ["x"], ["deployments/a", "deployments/b", "deployments/a"])
    assert isinstance(said, Say) and (said.type, said.reason) == ("Warning", "DependencyCircle")


def test_circles_are_found_and_chains_are_none():
    a, b, c = ("deployments", "a"), ("deployments", "b"), ("jobs", "c")
    assert circle_of(a, {a: [b, c], b: [c], c: []}) == []
    assert circle_of(a, {a: [b], b: [c], c: [a]}) == ["deployments/a", "deployments/b", "jobs/c", "deployments/a"]


@pytest.mark.parametrize(
    ("said", "obj", "why"),
    [
        ("deploy/db", None, "is not there"),
        ("deploy/db", deployment(2), "is changing"),
        ("deploy/db", with_status(deployment(2), availableReplicas=1), "has 1 of 2 pods available"),
        ("deploy/db", with_status(deployment(2, unavailable=1), availableReplicas=1), ""),
        ("deploy/db", with_status(deployment(0)), "wants no pods"),
        ("sts/db", with_status(statefulset(3), availableReplicas=1), "has 1 of 2 pods available"),
        ("sts/db", with_status(statefulset(1), availableReplicas=1), ""),
        ("ds/log", with_status(daemonset(), desiredNumberScheduled=3, numberAvailable=2), ""),
        ("ds/log", with_status(daemonset(), desiredNumberScheduled=1), "has 0 of 1 pods available"),
        ("job/migrate", job("Suspended"), "is not complete"),
        ("job/migrate", job("Failed"), "has failed"),
        ("job/migrate", job("Complete"), ""),
        ("pod/a", pod("a", ready=False), "is not ready"),
        ("pod/a", pod("a", ready=False, phase="Succeeded"), ""),
        ("svc/a", {}, "has no ready endpoint"),
    ],
)
def test_what_a_dependency_lacks_is_told_with_its_name(said, obj, why):
    assert missing(said, obj) == (f"{said} ({why})" if why else "")


def test_a_service_needs_a_ready_endpoint():
    assert missing("svc/a", {}, ready_endpoints=1) == ""


async def test_a_pod_waits_for_a_job_and_a_pod_and_is_freed_by_their_ends(plane):
    plane.kubelet()
    await plane.start(DependenciesController)
    spec = {"containers": [{"name": "c", "image": "i"}]}
    said = {"tiphys.io/depends-on": "job/migrate, pod/db"}
    meta = {"name": "web", "namespace": "shop", "annotations": said}
    web = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**spec, "schedulingGates": [GATE]}}
    await plane.client.request("POST", "/api/v1/namespaces/shop/pods", web)
    await plane.settled()
    waiting = await plane.get("Pod", "web")
    assert (
        waiting["metadata"]["annotations"]["tiphys.io/waits-for"] == "job/migrate (is not there), pod/db (is not there)"
    )
    template = {"spec": {**spec, "restartPolicy": "Never"}}
    made = await plane.create("batch/v1", "Job", "migrate", spec={"template": template})
    await plane.create("v1", "Pod", "db", spec={**spec, "nodeName": "n1"})
    done = [{"type": kind, "status": "True"} for kind in ("SuccessCriteriaMet", "Complete")]
    times = {"startTime": "2027-01-15T08:00:00Z", "completionTime": "2027-01-15T08:00:00Z"}
    await plane.patch(made, {"status": {"conditions": done, "succeeded": 1, **times}}, "status")
    await plane.settled()
    free = await plane.get("Pod", "web")
    assert "schedulingGates" not in free["spec"] and "tiphys.io/waits-for" not in free["metadata"]["annotations"]
    assert {"WaitingForDependencies", "DependenciesMet"} <= set(await plane.reasons())
