"""
The controllers and the scheduler of a cluster, each with a client of its own.

They read shared caches, whose client may only list and watch; they write as the service account that Kubernetes gives
each controller, so that RBAC's bootstrap roles say what each may do, and the audit log says who did it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tiphys.api import resources
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.client.metadata import Metadata
from tiphys.cluster.master import Master
from tiphys.controllers.attachdetach.controller import AttachDetachController
from tiphys.controllers.clusterroleaggregation.controller import ClusterRoleAggregationController
from tiphys.controllers.cronjob.controller import CronJobController
from tiphys.controllers.daemonset.controller import DaemonSetController
from tiphys.controllers.dependencies.controller import DependenciesController
from tiphys.controllers.deployment.controller import DeploymentController
from tiphys.controllers.disruption.controller import DisruptionController
from tiphys.controllers.endpoints.controller import EndpointsController
from tiphys.controllers.endpointslice.controller import EndpointSliceController
from tiphys.controllers.endpointslicemirroring.controller import EndpointSliceMirroringController
from tiphys.controllers.ephemeralvolume.controller import EphemeralVolumeController
from tiphys.controllers.garbage.controller import GarbageController
from tiphys.controllers.horizontalpodautoscaler.controller import HorizontalPodAutoscalerController
from tiphys.controllers.job.controller import JobController
from tiphys.controllers.legacytokens.controller import LegacyTokenController
from tiphys.controllers.loadbalancer.controller import LoadBalancerController
from tiphys.controllers.namespace.controller import NamespaceController
from tiphys.controllers.nodelifecycle.controller import NodeLifecycleController
from tiphys.controllers.persistentvolume.controller import PersistentVolumeController
from tiphys.controllers.podgc.controller import PodGcController
from tiphys.controllers.pvcprotection.controller import PvcProtectionController
from tiphys.controllers.pvprotection.controller import PvProtectionController
from tiphys.controllers.replicaset.controller import ReplicaSetController
from tiphys.controllers.replicationcontroller.controller import ReplicationControllerController
from tiphys.controllers.resourcequota.controller import ResourceQuotaController
from tiphys.controllers.restart.controller import RestartController
from tiphys.controllers.rollout.controller import RolloutController
from tiphys.controllers.rootca.controller import RootCaController
from tiphys.controllers.serviceaccount.controller import ServiceAccountController
from tiphys.controllers.serviceaccounttoken.controller import ServiceAccountTokenController
from tiphys.controllers.servicecidr.controller import ServiceCidrController
from tiphys.controllers.statefulset.controller import StatefulSetController
from tiphys.controllers.tainteviction.controller import TaintEvictionController
from tiphys.controllers.ttlafterfinished.controller import TtlAfterFinishedController
from tiphys.controllers.vacprotection.controller import VacProtectionController
from tiphys.controllers.volumeexpand.controller import VolumeExpandController
from tiphys.reconcile.tools import Tools
from tiphys.scheduler.scheduler import Scheduler
from tiphys.wire.messages import Identity

MANAGER_AGENT = "kube-controller-manager"
READER = Identity("system:kube-controller-manager", ("system:authenticated",))
SCHEDULER = Identity("system:kube-scheduler", ("system:authenticated",))

# Full caches that controllers have anyway; what cares about metadata only shares them.
SHARED = tuple(
    resources.get(*place)
    for place in (
        ("", "v1", "pods"), ("", "v1", "services"), ("", "v1", "endpoints"), ("", "v1", "namespaces"),
        ("", "v1", "persistentvolumeclaims"), ("", "v1", "resourcequotas"), ("", "v1", "replicationcontrollers"),
        ("", "v1", "persistentvolumes"), ("storage.k8s.io", "v1", "storageclasses"),
        ("storage.k8s.io", "v1", "volumeattachments"), ("storage.k8s.io", "v1", "csidrivers"),
        ("apps", "v1", "statefulsets"), ("apps", "v1", "daemonsets"), ("apps", "v1", "controllerrevisions"),
        ("policy", "v1", "poddisruptionbudgets"),
        ("", "v1", "nodes"), ("", "v1", "serviceaccounts"), ("apps", "v1", "deployments"),
        ("apps", "v1", "replicasets"), ("discovery.k8s.io", "v1", "endpointslices"),
        ("coordination.k8s.io", "v1", "leases"), ("batch", "v1", "jobs"), ("batch", "v1", "cronjobs"),
        ("networking.k8s.io", "v1", "servicecidrs"), ("networking.k8s.io", "v1", "ipaddresses"),
        ("autoscaling", "v2", "horizontalpodautoscalers"),
        ("rbac.authorization.k8s.io", "v1", "clusterroles"),
    )
)  # fmt: skip

Run = Callable[[], Coroutine[Any, Any, None]]


def service_account(name: str) -> Identity:
    """A controller's identity in kube-system."""
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
    return Identity(f"system:serviceaccount:kube-system:{name}", groups)


def reader(master: Master) -> Client:
    """The client of shared caches."""
    return Client(master.handle, identity=READER, user_agent=MANAGER_AGENT)


def build(master: Master, informers: Informers) -> list[Run]:
    """The `run` of every part, to be put into one TaskGroup."""
    client = reader(master)
    metadata = Metadata(client, informers, SHARED)
    runs: list[Run] = [metadata.run]

    def tools(account: str, component: str = "") -> Tools:
        own = client.acting_as(service_account(account), MANAGER_AGENT)
        recorder = Recorder(own, component or account)
        runs.append(recorder.run)
        return Tools(own, informers, recorder)

    bundle = master.identities.authority.bundle.decode("ascii")
    runs += [
        DeploymentController(tools("deployment-controller")).run,
        ReplicaSetController(tools("replicaset-controller")).run,
        ReplicationControllerController(tools("replication-controller")).run,
        StatefulSetController(tools("statefulset-controller")).run,
        DaemonSetController(tools("daemon-set-controller", "daemonset-controller")).run,
        DependenciesController(tools("dependency-controller")).run,
        RolloutController(tools("rollout-controller")).run,
        RestartController(tools("restart-controller"), metadata).run,
        EndpointsController(tools("endpoint-controller")).run,
        EndpointSliceController(tools("endpointslice-controller", "endpoint-slice-controller")).run,
        EndpointSliceMirroringController(tools("endpointslicemirroring-controller")).run,
        ServiceAccountController(tools("service-account-controller")).run,
        RootCaController(tools("root-ca-cert-publisher"), bundle).run,
        ServiceAccountTokenController(
            Tools(client, informers, Recorder(client, "tokens-controller")),
            bundle,
            master.security.accounts.issue_for_secret,
        ).run,
        LegacyTokenController(tools("legacy-service-account-token-cleaner"), master.security.accounts.used_secrets).run,
        NodeLifecycleController(tools("node-controller")).run,
        TaintEvictionController(tools("node-controller", "taint-eviction-controller")).run,
        PodGcController(tools("pod-garbage-collector")).run,
        PersistentVolumeController(tools("persistent-volume-binder", "persistentvolume-controller")).run,
        PvcProtectionController(tools("pvc-protection-controller")).run,
        PvProtectionController(tools("pv-protection-controller")).run,
        EphemeralVolumeController(tools("ephemeral-volume-controller", "ephemeral_volume")).run,
        VolumeExpandController(tools("expand-controller", "volume_expand")).run,
        AttachDetachController(tools("attachdetach-controller")).run,
        VacProtectionController(tools("volumeattributesclass-protection-controller")).run,
        JobController(tools("job-controller")).run,
        CronJobController(tools("cronjob-controller")).run,
        TtlAfterFinishedController(tools("ttl-after-finished-controller")).run,
        HorizontalPodAutoscalerController(tools("horizontal-pod-autoscaler")).run,
        LoadBalancerController(tools("service-controller")).run,
        ServiceCidrController(tools("service-cidrs-controller", "service-cidr-controller")).run,
        ClusterRoleAggregationController(tools("clusterrole-aggregation-controller")).run,
        GarbageController(tools("generic-garbage-collector", "garbage-collector-controller"), metadata).run,
        NamespaceController(tools("namespace-controller"), metadata).run,
        DisruptionController(tools("disruption-controller", "controllermanager")).run,
        ResourceQuotaController(tools("resourcequota-controller"), metadata).run,
    ]
    binder = client.acting_as(SCHEDULER, "kube-scheduler")
    events = Recorder(binder, "default-scheduler")
    return [*runs, events.run, Scheduler(binder, informers, events).run]


async def run_all(runs: list[Run]) -> None:
    """Work until cancelled; the end of one is the end of all."""
    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(run())
