"""Objects for tests, as short as a sentence: `pod("web-a", ready=False)`."""

import copy

EPOCH = "2027-01-15T08:00:00Z"


def pod(
    name, *, ready=True, node="n1", phase="Running", deleting=False, owner=None, labels=None, created=EPOCH, **spec
):
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "creationTimestamp": created}
    meta["labels"] = labels or {"app": "web"}
    if owner is not None:
        meta["ownerReferences"] = [reference(owner)]
    if deleting:
        meta["deletionTimestamp"] = EPOCH
    spec = {"containers": [{"name": "c", "image": "i"}], **({"nodeName": node} if node else {}), **spec}
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": EPOCH}
    status = {"phase": phase, "conditions": [condition]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}


def reference(owner):
    meta = owner["metadata"]
    common = {"name": meta["name"], "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **common}


def template(image="v1"):
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def replicaset(replicas, status=None, *, name="web", image="v1", annotations=None, owner=None, created=EPOCH):
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "generation": 1, "creationTimestamp": created}
    meta["labels"] = {"app": "web"}
    meta["annotations"] = annotations or {}
    if owner is not None:
        meta["ownerReferences"] = [reference(owner)]
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template(image)}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec, "status": status or {}}


def replication_controller(replicas, status=None, **spec):
    meta = {"name": "web", "namespace": "shop", "uid": "uid-rc", "generation": 1, "labels": {"app": "web"}}
    full = {"replicas": replicas, "selector": {"app": "web"}, "template": template(), **spec}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": meta, "spec": full, "status": status or {}}


def statefulset(replicas, *, image="v1", status=None, annotations=None, strategy=None, **spec):
    meta = {"name": "db", "namespace": "shop", "uid": "uid-db", "generation": 1, "annotations": annotations or {}}
    full = {
        "replicas": replicas,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "web"}},
        "template": template(image),
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": strategy or {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10,
        **spec,
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": full, "status": status or {}}


def daemonset(*, image="v1", unavailable=1, surge=0, status=None, annotations=None, **spec):
    annotations = {"deprecated.daemonset.template.generation": "1", **(annotations or {})}
    meta = {"name": "log", "namespace": "shop", "uid": "uid-log", "generation": 1, "annotations": annotations}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}
    full = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": template(image),
        "updateStrategy": rolling,
        "revisionHistoryLimit": 10,
        **spec,
    }
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": full, "status": status or {}}


def deployment(replicas, *, image="v1", surge=1, unavailable=0, status=None, annotations=None, **spec):
    meta = {"name": "web", "namespace": "shop", "uid": "uid-d", "generation": 1, "annotations": annotations or {}}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    full = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": template(image),
        "strategy": rolling,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        **spec,
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": full, "status": status or {}}


def node(name, *, cpu="4", memory="8Gi", pods="110", labels=None, taints=(), unschedulable=False):
    meta = {"name": name, "uid": f"uid-{name}", "labels": {"kubernetes.io/hostname": name, **(labels or {})}}
    spec = {**({"taints": list(taints)} if taints else {}), **({"unschedulable": True} if unschedulable else {})}
    offered = {"cpu": cpu, "memory": memory, "pods": pods, "ephemeral-storage": "100Gi"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec, "status": {"allocatable": offered}}


def changed(obj, **spec):
    """A copy with other spec fields."""
    fresh = copy.deepcopy(obj)
    fresh["spec"].update(spec)
    return fresh
