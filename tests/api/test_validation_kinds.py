"""
Kinds that nothing here runs are checked as Kubernetes does: which fields are wrong, and in which way.

The words themselves are compared with Kubernetes' by the recorded answers; here each body is wrong in as many ways as
it can be, and none of them may be missed or invented.
"""

import pytest

from api_builders import complaints

ADMISSION, BATCH, NETWORKING, STORAGE = (
    f"{group}/v1" for group in ("admissionregistration.k8s.io", "batch", "networking.k8s.io", "storage.k8s.io")
)
INVALID, NOT_SUPPORTED, REQUIRED = "Invalid value", "Unsupported value", "Required value"
DUPLICATE, FORBIDDEN = "Duplicate value", "Forbidden"
WEBHOOKS = "ValidatingWebhookConfiguration"


def found(version, kind, body):
    """{field: the ways in which it is wrong}"""
    wrong = {}
    for complaint in complaints(version, kind, body):
        field, way = complaint.split(": ")[:2]
        wrong.setdefault(field, []).append(way)
    return {field: ways[0] if len(set(ways)) == 1 else ways for field, ways in wrong.items()}


def job(**spec):
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return {"template": template, **spec}


def test_storage_classes():
    body = {
        "provisioner": "Not/OK/x",
        "reclaimPolicy": "Recycle",
        "volumeBindingMode": "Never",
        "parameters": {"": "x"},
    }
    assert found(STORAGE, "StorageClass", body) == {
        "provisioner": INVALID,
        "parameters": INVALID,
        "reclaimPolicy": NOT_SUPPORTED,
        "volumeBindingMode": NOT_SUPPORTED,
    }


def test_drivers_and_what_nodes_have_of_them():
    tokens = [{"audience": "a", "expirationSeconds": 5}, {"audience": "a"}]
    spec = {"volumeLifecycleModes": ["Sometimes"], "fsGroupPolicy": "Maybe", "tokenRequests": tokens}
    assert found(STORAGE, "CSIDriver", {"spec": spec}) == {
        "spec.fsGroupPolicy": NOT_SUPPORTED,
        "spec.tokenRequests[0].expirationSeconds": INVALID,
        "spec.tokenRequests[1].audience": DUPLICATE,
        "spec.volumeLifecycleModes": NOT_SUPPORTED,
    }
    drivers = [{"name": "d", "nodeID": "", "allocatable": {"count": -1}}, {"name": "d", "nodeID": "n"}]
    assert found(STORAGE, "CSINode", {"spec": {"drivers": drivers}}) == {
        "spec.drivers[0].nodeID": REQUIRED,
        "spec.drivers[0].allocatable.count": INVALID,
        "spec.drivers[1].name": DUPLICATE,
    }


def test_volumes_and_claims():
    volume = {"accessModes": ["Odd"], "capacity": {"cpu": "1"}, "hostPath": {"path": "/a/../b"}, "nfs": {"server": ""}}
    volume |= {"persistentVolumeReclaimPolicy": "Odd", "volumeMode": "Odd"}
    assert found("v1", "PersistentVolume", {"spec": volume}) == {
        "spec.accessModes": NOT_SUPPORTED,
        "spec.capacity": NOT_SUPPORTED,
        "spec.persistentVolumeReclaimPolicy": NOT_SUPPORTED,
        "spec.nfs": FORBIDDEN,
        "spec.hostPath.path": INVALID,
        "spec.volumeMode": NOT_SUPPORTED,
    }
    claim = {"accessModes": [], "resources": {"requests": {"storage": "0"}}}
    assert found("v1", "PersistentVolumeClaim", {"spec": claim}) == {
        "spec.accessModes": REQUIRED,
        "spec.resources[storage]": INVALID,
    }


def test_webhooks():
    rule = {"operations": ["*", "CREATE"], "apiGroups": ["*", "a"], "apiVersions": [], "resources": ["*/*", "pods"]}
    webhook = {"name": "short", "clientConfig": {}, "sideEffects": "Some", "timeoutSeconds": 60, "rules": [rule]}
    body = {"webhooks": [{**webhook, "failurePolicy": "Perhaps", "admissionReviewVersions": []}]}
    wrong = {field.removeprefix("webhooks[0]."): way for field, way in found(ADMISSION, WEBHOOKS, body).items()}
    assert wrong == {
        "name": INVALID,
        "rules[0].operations": INVALID,
        "rules[0].apiGroups": INVALID,
        "rules[0].apiVersions": REQUIRED,
        "rules[0].resources": INVALID,
        "failurePolicy": NOT_SUPPORTED,
        "sideEffects": NOT_SUPPORTED,
        "timeoutSeconds": INVALID,
        "clientConfig": REQUIRED,
        "admissionReviewVersions": REQUIRED,
    }


def test_admission_policies_and_their_bindings():
    policy = {"failurePolicy": "Odd", "validations": [], "matchConstraints": {}}
    assert found(ADMISSION, "ValidatingAdmissionPolicy", {"spec": policy}) == {
        "spec.failurePolicy": NOT_SUPPORTED,
        "spec.matchConstraints.resourceRules": REQUIRED,
        "spec.validations": REQUIRED,
        "spec.auditAnnotations": REQUIRED,
    }
    binding = {
        "policyName": "",
        "validationActions": ["Deny", "Warn", "Odd"],
        "paramRef": {"name": "a", "selector": {}},
    }
    assert found(ADMISSION, "ValidatingAdmissionPolicyBinding", {"spec": binding}) == {
        "spec.policyName": REQUIRED,
        "spec.paramRef.name": FORBIDDEN,
        "spec.paramRef.selector": FORBIDDEN,
        "spec.paramRef.parameterNotFoundAction": REQUIRED,
        "spec.validationActions[2]": NOT_SUPPORTED,
        "spec.validationActions": INVALID,
    }


def test_ingresses():
    both = {"service": {"name": "s", "port": {"number": 80}}, "resource": {"kind": "", "name": ""}}
    paths = [
        {"path": "no", "pathType": "Exact", "backend": {}},
        {"path": "/a//b", "pathType": "Prefix", "backend": {"service": {"name": "S", "port": {}}}},
        {"pathType": "Odd", "backend": both},
    ]
    rules = [{"host": "1.2.3.4"}, {"host": "*.*.x"}, {"http": {"paths": paths}}]
    body = {"spec": {"rules": rules, "tls": [{"hosts": ["bad_host"], "secretName": "X_"}], "ingressClassName": "Bad_"}}
    at = "spec.rules[2].http.paths"
    assert found(NETWORKING, "Ingress", body) == {
        **dict.fromkeys(("spec.rules[0].host", "spec.rules[1].host", f"{at}[0].path", f"{at}[0].backend"), INVALID),
        **dict.fromkeys((f"{at}[1].path", f"{at}[1].backend.service.name", f"{at}[2].backend"), INVALID),
        f"{at}[1].backend": REQUIRED,
        f"{at}[2].pathType": NOT_SUPPORTED,
        **dict.fromkeys(("spec.tls[0].hosts[0]", "spec.tls[0].secretName", "spec.ingressClassName"), INVALID),
    }


@pytest.mark.parametrize(
    ("peer", "wrong"),
    [
        ({}, {"": REQUIRED}),
        ({"ipBlock": {"cidr": "10.0.0.1"}}, {".ipBlock.cidr": INVALID}),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}, {"": FORBIDDEN}),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}}, {".ipBlock.except[0]": INVALID}),
        ({"podSelector": {}, "namespaceSelector": {}}, {}),
    ],
)
def test_peers_of_network_policies(peer, wrong):
    body = {"spec": {"podSelector": {}, "ingress": [{"from": [peer]}]}}
    assert found(NETWORKING, "NetworkPolicy", body) == {
        f"spec.ingress[0].from[0]{at}": way for at, way in wrong.items()
    }


@pytest.mark.parametrize(
    ("port", "at"),
    [({"port": 90, "endPort": 80}, "endPort"), ({"endPort": 5}, "endPort"), ({"port": "UPPER_"}, "port")],
)
def test_ports_of_network_policies(port, at):
    body = {"spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [port]}]}}
    assert found(NETWORKING, "NetworkPolicy", body) == {f"spec.egress[0].ports[0].{at}": INVALID}


def test_what_a_job_does_when_pods_fail():
    codes = {"operator": "In", "values": [0, 3, 2, 2], "containerName": "none"}
    rules = [{"action": "Explode"}, {"action": "FailJob", "onExitCodes": codes}]
    rules.append({"action": "FailIndex", "onExitCodes": {"operator": "Like", "values": []}})
    at = "spec.podFailurePolicy.rules"
    assert found(BATCH, "Job", {"spec": job(podFailurePolicy={"rules": rules})}) == {
        f"{at}[0].action": NOT_SUPPORTED,
        f"{at}[0]": INVALID,
        f"{at}[1].onExitCodes.containerName": INVALID,
        f"{at}[1].onExitCodes.values[0]": INVALID,
        f"{at}[1].onExitCodes.values[3]": DUPLICATE,
        f"{at}[1].onExitCodes.values": INVALID,
        f"{at}[2].action": INVALID,
        f"{at}[2].onExitCodes.operator": NOT_SUPPORTED,
        f"{at}[2].onExitCodes.values": INVALID,
    }


def test_numbers_of_jobs():
    counts = dict.fromkeys(("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds"), -1)
    assert found(BATCH, "Job", {"spec": job(**counts)}) == {f"spec.{name}": INVALID for name in counts}


@pytest.mark.parametrize("schedule", ["61 * * * *", "* * *", "* * * * * *", "@often", "*/0 * * * *", "5-1 * * * *"])
def test_schedules_that_never_come(schedule):
    body = {"spec": {"schedule": schedule, "jobTemplate": {"spec": job()}}}
    assert found(BATCH, "CronJob", body) == {"spec.schedule": INVALID}


@pytest.mark.parametrize("schedule", ["*/5 0-12,20 1 JAN-MAR mon", "@hourly", "@every 1h30m", "0 0 ? * *"])
def test_schedules_that_come(schedule):
    assert found(BATCH, "CronJob", {"spec": {"schedule": schedule, "jobTemplate": {"spec": job()}}}) == {}


def test_disruption_budgets():
    spec = {"minAvailable": 1, "maxUnavailable": "200%", "unhealthyPodEvictionPolicy": "Odd"}
    wrong = {"spec": INVALID, "spec.maxUnavailable": INVALID, "spec.unhealthyPodEvictionPolicy": NOT_SUPPORTED}
    assert found("policy/v1", "PodDisruptionBudget", {"spec": spec}) == wrong


def test_autoscalers():
    target = {"kind": "", "name": "a/b", "apiVersion": "apps/v1"}
    metrics = [{"type": "Resource"}, {"type": "Odd"}]
    spec = {"maxReplicas": 0, "minReplicas": -1, "scaleTargetRef": target, "metrics": metrics}
    assert found("autoscaling/v2", "HorizontalPodAutoscaler", {"spec": spec}) == {
        "spec.minReplicas": INVALID,
        "spec.maxReplicas": REQUIRED,
        "spec.scaleTargetRef.kind": REQUIRED,
        "spec.scaleTargetRef.name": INVALID,
        "spec.metrics[0].resource": REQUIRED,
        "spec.metrics[1].type": NOT_SUPPORTED,
    }


def test_priority_classes():
    body = {"metadata": {"name": "system-mine"}, "value": 1, "preemptionPolicy": "Often"}
    wrong = {"metadata.name": FORBIDDEN, "preemptionPolicy": NOT_SUPPORTED}
    assert found("scheduling.k8s.io/v1", "PriorityClass", body) == wrong
