"""Workloads, autoscalers and budgets: defaults, what is refused, and what may change."""

import pytest

from api_builders import complaints, created, typed, update_complaints, updated
from tiphys.api import cron, resources, strategy

LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "app:1"}]}}
ONCE = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}


def workload(**spec):
    return {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec}}


def job(**spec):
    return {"metadata": {"name": "pi", "uid": "u1"}, "spec": {"template": ONCE, **spec}}


def cron_job(**spec):
    return {
        "metadata": {"name": "c"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": ONCE}}, **spec},
    }


def autoscaler(**spec):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3, **spec}}


def test_defaults_of_a_deployment():
    spec = typed("apps/v1", "Deployment", workload())["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert "enableServiceLinks" not in spec["template"]["spec"]


@pytest.mark.parametrize(("most", "kept"), [(2, True), ("50%", True), (0, False), ("0%", False)])
def test_a_stateful_set_may_have_several_pods_away_at_once_but_not_none(most, kept):
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}}
    rolling = created("apps/v1", "StatefulSet", workload(updateStrategy=strategy))["spec"]["updateStrategy"]
    assert ("maxUnavailable" in rolling["rollingUpdate"]) is kept
    strategy["rollingUpdate"]["maxUnavailable"] = "150%"
    (complaint,) = complaints("apps/v1", "StatefulSet", workload(updateStrategy=strategy))
    assert "must not be greater than 100%" in complaint


def test_a_replication_controller_takes_labels_and_selector_from_its_template():
    made = typed("v1", "ReplicationController", {"spec": {"template": TEMPLATE}})
    assert made["spec"]["selector"] == made["metadata"]["labels"] == LABELS


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"])
def test_a_selector_must_match_and_stays(kind):
    bad = workload(selector={"matchLabels": {"app": "db"}})
    text = 'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'
    assert complaints("apps/v1", kind, bad) == [text]
    old = created("apps/v1", kind, workload())
    assert complaints("apps/v1", kind, workload()) == []
    assert update_complaints(old, workload()) == []
    assert len(update_complaints(old, bad)) == 2


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"selector": {}}, "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ),
        (
            {"strategy": {"rollingUpdate": {"maxUnavailable": "200%"}}},
            'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "200%": must not be greater than 100%',
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            {"minReadySeconds": 700},
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
        ),
    ],
)
def test_deployments_are_refused_for(spec, complaint):
    assert complaints("apps/v1", "Deployment", workload(**spec)) == [complaint]


def test_counts_of_a_status_fit_each_other():
    old = created("apps/v1", "ReplicaSet", workload())
    status = {"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 1}}
    found = update_complaints(old, workload() | status, "status")
    assert found == ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]


def test_a_stateful_set_mounts_its_claims_and_changes_little():
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    container = {"name": "c", "image": "app:1", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}
    body = workload(template={**TEMPLATE, "spec": {"containers": [container]}}, volumeClaimTemplates=[claim])
    old = created("apps/v1", "StatefulSet", body)
    assert complaints("apps/v1", "StatefulSet", body) == []
    body["spec"]["serviceName"] = "other"
    assert update_complaints(old, body)[0].startswith("spec: Forbidden: updates to statefulset spec for fields other")


def test_a_daemon_set_counts_its_templates():
    old = created("apps/v1", "DaemonSet", workload())
    other = {**TEMPLATE, "spec": {"containers": [{"name": "c", "image": "app:2"}]}}
    new = updated(old, workload(template=other))
    assert new["metadata"]["annotations"] == {"deprecated.daemonset.template.generation": "2"}
    assert new["metadata"]["generation"] == 2


def test_a_deployment_counts_changes_of_annotations():
    old = created("apps/v1", "Deployment", workload())
    new = updated(old, workload() | {"metadata": {"name": "web", "annotations": {"a": "b"}}})
    assert new["metadata"]["generation"] == 2


def test_a_job_selects_its_pods_by_uid():
    made = created("batch/v1", "Job", job())
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"]
    assert complaints("batch/v1", "Job", job()) == []


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            {"completionMode": "Indexed", "parallelism": 2},
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        ({"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"),
        (
            {"template": TEMPLATE},
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        ),
        (
            {"managedBy": "me"},
            'spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")',
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "FailJob"}]}},
            "spec.podFailurePolicy.rules[0]: Invalid value: null: "
            "specifying one of OnExitCodes and OnPodConditions is required",
        ),
        (
            {"completionMode": "Indexed", "completions": 2, "successPolicy": {"rules": [{"succeededIndexes": "1-0"}]}},
            'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "1-0": error parsing succeededIndexes: '
            "non-increasing order, previous: 1, current: 0",
        ),
    ],
)
def test_jobs_are_refused_for(spec, complaint):
    assert complaints("batch/v1", "Job", job(**spec)) == [complaint]


def test_a_condition_of_a_failure_policy_is_true_unless_it_is_said():
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": ""}]}
    made = created("batch/v1", "Job", job(podFailurePolicy={"rules": [rule]}))
    assert made["spec"]["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"


def test_a_running_job_keeps_its_template_and_a_suspended_one_its_image():
    other = {"spec": {**ONCE["spec"], "nodeSelector": {"a": "b"}}}
    running = created("batch/v1", "Job", job(manualSelector=False))
    selector = {"selector": running["spec"]["selector"]}
    labelled = {**other, "metadata": running["spec"]["template"]["metadata"]}
    assert len(update_complaints(running, job(template=labelled, **selector))) == 1
    suspended = created("batch/v1", "Job", job(suspend=True))
    assert update_complaints(suspended, job(template=labelled, suspend=True, **selector)) == []


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        ({}, True),
        ({"active": 1}, False),
        ({"startTime": "2030-01-01T00:00:00Z"}, False),
        (
            {"startTime": "2030-01-01T00:00:00Z", "conditions": [{"type": "Suspended", "status": "True"}]},
            True,
        ),
    ],
)
def test_a_job_that_is_held_back_may_change_what_its_pods_use(status, changes):
    old = created("batch/v1", "Job", job(suspend=True)) | {"status": status}
    more = [{**ONCE["spec"]["containers"][0], "resources": {"requests": {"cpu": "2"}}}]
    template = {"metadata": old["spec"]["template"]["metadata"], "spec": {**ONCE["spec"], "containers": more}}
    selector = {"selector": old["spec"]["selector"]}
    assert (update_complaints(old, job(template=template, suspend=True, **selector)) == []) == changes


def test_a_finished_job_says_when_and_why():
    old = created("batch/v1", "Job", job())
    done = {"conditions": [{"type": "Complete", "status": "True"}], "startTime": "2030-01-01T00:00:00Z"}
    found = update_complaints(old, job() | {"status": done}, "status")
    assert found == [
        "status.completionTime: Required value: completionTime is required for Complete jobs",
        "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true "
        "condition",
    ]


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("*/5 0-6/2 1,15 jan-mar MON", ""),
        ("@daily", ""),
        ("@every 1h30m", ""),
        ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
    ],
)
def test_schedules(schedule, problem):
    assert cron.problem(schedule) == problem


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"schedule": "TZ=UTC * * * * *"}, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
        ({"timeZone": "Mars/Base"}, "unknown time zone Mars/Base"),
        ({"concurrencyPolicy": "Maybe"}, 'supported values: "Allow", "Forbid", "Replace"'),
        ({"jobTemplate": {"spec": {"template": TEMPLATE}}}, 'valid values: "OnFailure", "Never"'),
    ],
)
def test_cron_jobs_are_refused_for(spec, complaint):
    found = complaints("batch/v1", "CronJob", cron_job(**spec))
    assert len(found) == 1
    assert complaint in found[0]


def test_a_cron_job_has_room_for_the_names_of_its_jobs():
    assert complaints("batch/v1", "CronJob", cron_job()) == []
    long = cron_job() | {"metadata": {"name": "a" * 53}}
    assert "must be no more than 52 characters" in complaints("batch/v1", "CronJob", long)[0]


def test_an_autoscaler_watches_the_cpu_unless_told_otherwise():
    spec = typed("autoscaling/v2", "HorizontalPodAutoscaler", autoscaler())["spec"]
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 80}
    old = typed("autoscaling/v1", "HorizontalPodAutoscaler", autoscaler())["spec"]
    assert (old["minReplicas"], old["targetCPUUtilizationPercentage"]) == (1, 80)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"maxReplicas": 0}, "spec.maxReplicas: Required value: must be set and greater than 0"),
        ({"minReplicas": 5}, "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"),
        (
            {"metrics": [{"type": "Pods"}]},
            "spec.metrics[0].pods: Required value: must populate information for the given metric source",
        ),
        (
            {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601}}},
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
        ),
    ],
)
def test_autoscalers_are_refused_for(spec, complaint):
    assert complaint in complaints("autoscaling/v2", "HorizontalPodAutoscaler", autoscaler(**spec))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"minAvailable": 1, "maxUnavailable": 1}, "minAvailable and maxUnavailable cannot be both set"),
        ({"minAvailable": "half"}, "a valid percent string must be a numeric string followed by an ending '%'"),
        ({"maxUnavailable": "101%"}, "must not be greater than 100%"),
        ({"unhealthyPodEvictionPolicy": "Never"}, 'supported values: "AlwaysAllow", "IfHealthyBudget"'),
    ],
)
def test_budgets_are_refused_for(spec, complaint):
    found = complaints("policy/v1", "PodDisruptionBudget", {"spec": spec})
    assert len(found) == 1
    assert complaint in found[0]


def test_a_template_is_warned_of_when_it_changes():
    deployments = resources.get("apps", "v1", "deployments")
    body = workload(template={**TEMPLATE, "spec": {**TEMPLATE["spec"], "terminationGracePeriodSeconds": -1}})
    old = created("apps/v1", "Deployment", body)
    text = "must be >= 0; negative values are invalid and will be treated as 1"
    warning = f"spec.template.spec.terminationGracePeriodSeconds: {text}"
    assert strategy.warnings_of(deployments, old, None) == [warning]
    assert strategy.warnings_of(deployments, old, old) == []
