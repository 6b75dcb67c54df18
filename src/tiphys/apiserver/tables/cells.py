"""Which function makes the cells of which resource (`name.group`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.apiserver.tables import cluster, metrics, networks, pods, storage, workloads
from tiphys.apiserver.tables.words import Object, age

Cells = Callable[[Object, float], list[Any]]


def name_and_age(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], age(obj, now)]


def name_and_creation(obj: Object, now: float) -> list[Any]:
    """What a kind shows that has no columns of its own; also roles and limit ranges, as in Kubernetes."""
    return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")]


OF: Mapping[str, Cells] = {
    "componentstatuses": cluster.componentstatus,
    "configmaps": cluster.configmap,
    "endpoints": networks.endpoints,
    "events": cluster.event,
    "namespaces": cluster.namespace,
    "nodes": cluster.node,
    "persistentvolumeclaims": storage.persistentvolumeclaim,
    "persistentvolumes": storage.persistentvolume,
    "pods": pods.cells,
    "podtemplates": workloads.podtemplate,
    "replicationcontrollers": workloads.replicationcontroller,
    "resourcequotas": cluster.resourcequota,
    "secrets": cluster.secret,
    "serviceaccounts": name_and_age,
    "services": networks.service,
    "apiservices.apiregistration.k8s.io": cluster.apiservice,
    "controllerrevisions.apps": workloads.controllerrevision,
    "daemonsets.apps": workloads.daemonset,
    "deployments.apps": workloads.deployment,
    "replicasets.apps": workloads.replicaset,
    "statefulsets.apps": workloads.statefulset,
    "scales.autoscaling": workloads.scale,
    "horizontalpodautoscalers.autoscaling": workloads.horizontalpodautoscaler,
    "cronjobs.batch": workloads.cronjob,
    "jobs.batch": workloads.job,
    "certificatesigningrequests.certificates.k8s.io": cluster.certificatesigningrequest,
    "ingressclasses.networking.k8s.io": networks.ingressclass,
    "ingresses.networking.k8s.io": networks.ingress,
    "ipaddresses.networking.k8s.io": networks.ipaddress,
    "networkpolicies.networking.k8s.io": networks.networkpolicy,
    "servicecidrs.networking.k8s.io": networks.servicecidr,
    "poddisruptionbudgets.policy": cluster.poddisruptionbudget,
    "clusterrolebindings.rbac.authorization.k8s.io": cluster.rolebinding,
    "rolebindings.rbac.authorization.k8s.io": cluster.rolebinding,
    "csidrivers.storage.k8s.io": storage.csidriver,
    "csinodes.storage.k8s.io": storage.csinode,
    "storageclasses.storage.k8s.io": storage.storageclass,
    "volumeattachments.storage.k8s.io": storage.volumeattachment,
    "volumeattributesclasses.storage.k8s.io": storage.volumeattributesclass,
    "mutatingadmissionpolicies.admissionregistration.k8s.io": cluster.admissionpolicy,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": cluster.admissionpolicybinding,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": cluster.webhookconfiguration,
    "validatingadmissionpolicies.admissionregistration.k8s.io": cluster.admissionpolicy,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": cluster.admissionpolicybinding,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": cluster.webhookconfiguration,
    "priorityclasses.scheduling.k8s.io": cluster.priorityclass,
    "leases.coordination.k8s.io": cluster.lease,
    "runtimeclasses.node.k8s.io": cluster.runtimeclass,
    "endpointslices.discovery.k8s.io": networks.endpointslice,
    "deviceclasses.resource.k8s.io": name_and_age,
    "resourceclaims.resource.k8s.io": cluster.resourceclaim,
    "resourceclaimtemplates.resource.k8s.io": name_and_age,
    "resourceslices.resource.k8s.io": cluster.resourceslice,
    "flowschemas.flowcontrol.apiserver.k8s.io": cluster.flowschema,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": cluster.prioritylevelconfiguration,
    "nodes.metrics.k8s.io": metrics.node,
    "pods.metrics.k8s.io": metrics.pod,
}
