"""Cells of the kinds that are seldom looked at, as kubectl users know them."""

import pytest

from tiphys.api import resources
from tiphys.api.objects import parse_timestamp
from tiphys.apiserver.tables.render import render

EPOCH = "2027-01-15T08:00:00Z"
NOW = parse_timestamp(EPOCH) + 90

RBAC, NET, STORAGE, ADMIT = (
    "rbac.authorization.k8s.io",
    "networking.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
)
TEMPLATE = {"metadata": {"labels": {"x": "y"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
SUBJECTS = [
    {"kind": "User", "name": "ann"},
    {"kind": "Group", "name": "ops"},
    {"kind": "ServiceAccount", "namespace": "shop", "name": "bot"},
]
OWNER = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": True}
PARENT = {"group": "", "resource": "services", "namespace": "shop", "name": "s"}
QUEUING = {"queues": 64, "handSize": 6, "queueLengthLimit": 50}
LIMITED = {"nominalConcurrencyShares": 30, "limitResponse": {"type": "Queue", "queuing": QUEUING}}
CRON = {"schedule": "0 3 * * *", "suspend": True, "jobTemplate": {"spec": {"template": TEMPLATE}}}
INGRESS = {"tls": [{}], "rules": [{"host": "a.example"}, {}]}
POINTS = {"loadBalancer": {"ingress": [{"hostname": "lb"}, {"ip": "192.0.2.1"}]}}


def cells_of(group, name, obj):
    meta = {"name": "x", "creationTimestamp": EPOCH, **obj.pop("meta", {})}
    made = {"metadata": meta, **obj}
    return render(resources.get(group, "v1", name), [made], "None", now=NOW)["rows"][0]["cells"]


@pytest.mark.parametrize(
    ("group", "name", "obj", "cells"),
    [
        (
            RBAC,
            "rolebindings",
            {"roleRef": {"kind": "Role", "name": "r"}, "subjects": SUBJECTS},
            ["x", "Role/r", "90s", "ann", "ops", "shop/bot"],
        ),
        (
            "apps",
            "controllerrevisions",
            {"meta": {"ownerReferences": [OWNER]}, "revision": 3},
            ["x", "statefulset.apps/db", 3, "90s"],
        ),
        ("", "podtemplates", {"template": TEMPLATE}, ["x", "c", "i", "x=y"]),
        (
            "batch",
            "cronjobs",
            {"spec": CRON, "status": {"active": [{}], "lastScheduleTime": EPOCH}},
            ["x", "0 3 * * *", "<none>", "True", 1, "90s", "90s", "c", "i", "<none>"],
        ),
        (
            "batch",
            "jobs",
            {"spec": {"parallelism": 3, "template": TEMPLATE}, "status": {"startTime": EPOCH}},
            ["x", "Running", "0/1 of 3", "90s", "90s", "c", "i", "<none>"],
        ),
        (
            "",
            "resourcequotas",
            {"status": {"hard": {"pods": "5", "limits.cpu": "2"}, "used": {"pods": "1"}}},
            ["x", "pods: 1/5", "limits.cpu: 0/2", "90s"],
        ),
        (
            "policy",
            "poddisruptionbudgets",
            {"spec": {"minAvailable": 1}, "status": {"disruptionsAllowed": 2}},
            ["x", "1", "N/A", 2, "90s"],
        ),
        (
            NET,
            "ingresses",
            {"spec": INGRESS, "status": POINTS},
            ["x", "<none>", "a.example", "192.0.2.1,lb", "80, 443", "90s"],
        ),
        (
            NET,
            "ingressclasses",
            {"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}},
            ["x", "c", "K.g/n", "90s"],
        ),
        (NET, "ipaddresses", {"spec": {"parentRef": PARENT}}, ["x", "services/shop/s", "90s"]),
        (NET, "servicecidrs", {"spec": {"cidrs": ["10.96.0.0/16"]}}, ["x", "10.96.0.0/16", "90s"]),
        ("discovery.k8s.io", "endpointslices", {"addressType": "IPv4"}, ["x", "IPv4", "<unset>", "<unset>", "90s"]),
        (
            STORAGE,
            "storageclasses",
            {"meta": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"},
            ["x (default)", "p", "Delete", "Immediate", False, "90s"],
        ),
        (
            STORAGE,
            "csidrivers",
            {"spec": {"volumeLifecycleModes": ["Persistent"], "tokenRequests": [{"audience": "a"}]}},
            ["x", True, False, False, "a", False, "Persistent", "90s"],
        ),
        (
            STORAGE,
            "volumeattachments",
            {
                "spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
                "status": {"attached": True},
            },
            ["x", "a", "v", "n", True, "90s"],
        ),
        (
            "flowcontrol.apiserver.k8s.io",
            "prioritylevelconfigurations",
            {"spec": {"type": "Limited", "limited": LIMITED}},
            ["x", "Limited", 30, 64, 6, 50, "90s"],
        ),
        (
            "flowcontrol.apiserver.k8s.io",
            "flowschemas",
            {"spec": {"matchingPrecedence": 9}},
            ["x", "<none>", 9, "<none>", "90s", "?"],
        ),
        (
            "certificates.k8s.io",
            "certificatesigningrequests",
            {
                "spec": {"signerName": "s", "username": "ann", "expirationSeconds": 3600},
                "status": {"certificate": "PEM", "conditions": [{"type": "Approved"}]},
            },
            ["x", "90s", "s", "ann", "60m", "Approved,Issued"],
        ),
        (
            ADMIT,
            "validatingadmissionpolicies",
            {"spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "K"}}},
            ["x", 1, "v1/K", "90s"],
        ),
        (
            ADMIT,
            "validatingadmissionpolicybindings",
            {"spec": {"policyName": "p", "paramRef": {"namespace": "s", "name": "n"}}},
            ["x", "p", "s/n", "90s"],
        ),
        (ADMIT, "mutatingwebhookconfigurations", {"webhooks": [{}, {}]}, ["x", 2, "90s"]),
        (
            "resource.k8s.io",
            "resourceclaims",
            {"status": {"allocation": {"x": 1}, "reservedFor": [{}]}},
            ["x", "allocated,reserved", "90s"],
        ),
        ("coordination.k8s.io", "leases", {"spec": {"holderIdentity": "me"}}, ["x", "me", "90s"]),
        (
            "scheduling.k8s.io",
            "priorityclasses",
            {"value": 7, "preemptionPolicy": "Never"},
            ["x", 7, False, "90s", "Never"],
        ),
        (
            "apiregistration.k8s.io",
            "apiservices",
            {
                "spec": {"service": {"namespace": "s", "name": "n"}},
                "status": {"conditions": [{"type": "Available", "status": "False", "reason": "Gone"}]},
            },
            ["x", "s/n", "False (Gone)", "90s"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_cells(group, name, obj, cells):
    assert cells_of(group, name, dict(obj)) == cells


def test_a_scale_is_a_table_of_its_own():
    scale = {
        "metadata": {"name": "web", "creationTimestamp": EPOCH},
        "spec": {"replicas": 3},
        "status": {"replicas": 2},
    }
    table = render(resources.get("apps", "v1", "deployments/scale"), [scale], "None", now=NOW)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"] == ["web", 3, 2, "90s"]


@pytest.mark.parametrize(
    ("conditions", "meta", "text"),
    [
        (["Failed"], {}, "Failed"),
        (["Suspended"], {}, "Suspended"),
        (["FailureTarget"], {}, "FailureTarget"),
        (["SuccessCriteriaMet"], {}, "SuccessCriteriaMet"),
        ([], {"deletionTimestamp": EPOCH}, "Terminating"),
    ],
)
def test_a_job_says_where_it_stands(conditions, meta, text):
    status = {"conditions": [{"type": kind, "status": "True"} for kind in conditions]}
    assert cells_of("batch", "jobs", {"meta": meta, "spec": {"template": {}}, "status": status})[1] == text
