"""What Tiphys adds in annotations, with real containers: rollouts that go back or stop, restarts, order of start."""

import json

import pytest

from cluster_builders import eventually
from pod_cluster import FOREVER, container, of_kind

pytestmark = pytest.mark.host

# Ends at once where the environment says so.
CAREFUL = 'test "$BREAK" != yes || exit 3; touch /tmp/ready; ' + FOREVER
READY = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
WATCHED = {"tiphys.io/monitor": "1s", "tiphys.io/on-failure": "rollback"}
USES = {"envFrom": [{"configMapRef": {"name": "settings"}}]}
GOOD = "tiphys.io/good-revision"


def template(app, shell=CAREFUL, main=None, **spec):
    main = container("main", shell, readinessProbe=READY, **(main or {}))
    spec = {"terminationGracePeriodSeconds": 1, "containers": [main], **spec}
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def workload(kind, app, annotations, main=None, **spec):
    spec = {"selector": {"matchLabels": {"app": app}}, "template": template(app, main=main), **spec}
    made = of_kind(kind, app, "apps/v1", spec=spec)
    made["metadata"]["annotations"] = annotations
    return made


def job(name, shell, depends_on=""):
    once = {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [container("main", shell)]}}
    made = of_kind("Job", name, "batch/v1", spec={"template": once, "backoffLimit": 1})
    made["metadata"]["annotations"] = {"tiphys.io/depends-on": depends_on} if depends_on else {}
    return made


MANIFESTS = [
    of_kind("ConfigMap", "settings", data={"COLOUR": "red"}),
    workload("Deployment", "web", WATCHED, replicas=2),
    workload("Deployment", "tried", WATCHED),
    workload("StatefulSet", "db", WATCHED, replicas=2, serviceName="db"),
    workload("DaemonSet", "watch", WATCHED),
    workload("DaemonSet", "log", WATCHED | {"tiphys.io/on-failure": "pause"}),
    workload("Deployment", "follows", {"tiphys.io/restart-on-change": "true"}, USES),
    workload("Deployment", "late", {"tiphys.io/depends-on": "job/migrate, sts/db"}),
    job("migrate", "sleep 1; echo done", depends_on="deploy/web"),
    workload("Deployment", "hen", {"tiphys.io/depends-on": "deploy/egg"}),
    workload("Deployment", "egg", {"tiphys.io/depends-on": "deploy/hen"}),
]


def environment(pod):
    return {one["name"]: one["value"] for one in pod["spec"]["containers"][0].get("env", [])}


def came_through(live, kind, app, count):
    """Every pod is ready and none is of a broken template; the revision that they are of has been found good."""

    def well():
        pods = live.pods(f"app={app}")
        ready = [one for pod in pods for one in pod["status"].get("conditions", ()) if one["type"] == "Ready"]
        broken = any(environment(pod).get("BREAK") == "yes" for pod in pods)
        annotations = live.get(kind, app)["metadata"]["annotations"]
        return not broken and GOOD in annotations and [one["status"] for one in ready] == ["True"] * count

    eventually(well, f"{kind}/{app} is well", 40)


def break_(live, kind, app):
    live.kubectl("set", "env", f"{kind}/{app}", "BREAK=yes")


@pytest.mark.parametrize(
    ("kind", "app", "count"), [("deployment", "web", 2), ("statefulset", "db", 2), ("daemonset", "watch", 1)]
)
def test_a_rollout_that_fails_goes_back_and_all_is_well_again(live, kind, app, count):
    came_through(live, kind, app, count)
    good = live.get(kind, app)["metadata"]["annotations"][GOOD]
    break_(live, kind, app)
    told = live.event(app, "RolloutRolledBack")
    assert f"to {good}:" in told and "ended with exit code 3" in told
    came_through(live, kind, app, count)
    annotations = live.get(kind, app)["metadata"]["annotations"]
    assert annotations[GOOD] == good and annotations["tiphys.io/failed-revision"] != good


def test_a_revision_that_failed_may_be_tried_again_by_hand_and_goes_back_again(live):
    came_through(live, "deployment", "tried", 1)
    break_(live, "deployment", "tried")
    live.event("tried", "RolloutRolledBack")
    came_through(live, "deployment", "tried", 1)
    live.kubectl("rollout", "undo", "deployment/tried")
    assert live.get("deployment", "tried")["metadata"]["annotations"].items() >= WATCHED.items()
    came_through(live, "deployment", "tried", 1)


def test_a_rollout_that_fails_may_stop_where_it_is(live):
    came_through(live, "daemonset", "log", 1)
    break_(live, "daemonset", "log")
    assert "ended with exit code 3" in live.event("log", "RolloutPaused")
    live.kubectl("rollout", "undo", "daemonset/log")
    live.kubectl("annotate", "daemonset/log", "tiphys.io/paused-")
    came_through(live, "daemonset", "log", 1)


def test_a_workload_restarts_when_its_configmap_changes(live):
    live.settle("follows")
    (before,) = live.pods("app=follows")
    live.kubectl("patch", "configmap/settings", "-p", json.dumps({"data": {"COLOUR": "blue"}}))
    assert live.event("follows", "RestartOnChange") == "Restarts, because of changes in configmap/settings"
    live.settle("follows")
    after = eventually(lambda: [pod for pod in live.pods("app=follows") if pod != before][-1:], "a new pod")
    assert live.shell(after[0]["metadata"]["name"], "echo $COLOUR") == "blue\n"


def test_pods_and_jobs_begin_when_what_they_depend_on_is_there(live):
    live.settle("late")
    ended = live.get("job", "migrate")["status"]["completionTime"]
    (late,) = live.pods("app=late")
    assert late["status"]["startTime"] >= ended
    assert "schedulingGates" not in late["spec"]
    assert "job/migrate (is not" in live.event(late["metadata"]["name"], "WaitingForDependencies", "migrate")


def test_a_circle_of_dependencies_is_told(live):
    (hen,) = live.pods("app=hen")
    told = live.event(hen["metadata"]["name"], "DependencyCircle")
    assert "deployments/hen → deployments/egg → deployments/hen" in told


def test_an_annotation_that_means_nothing_is_refused(live):
    refused = live.try_kubectl("annotate", "--overwrite", "deployment/web", "tiphys.io/on-failure=explode")
    assert "'explode' is neither 'rollback' nor 'pause'" in refused.stderr
