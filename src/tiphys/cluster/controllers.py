"""
The controllers and the scheduler of a cluster, each with a client of its own.

They read shared caches, whose client may only list and watch; they write as the service account that Kubernetes gives
each controller, so that RBAC's bootstrap roles say what each may do, and the audit log says who did it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tiphys.api import resources
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.client.metadata import Metadata
from tiphys.cluster.master import Master
from tiphys.controllers.clusterroleaggregation.controller import ClusterRoleAggregationController
from tiphys.controllers.deployment.controller import DeploymentController
from tiphys.controllers.disruption.controller import DisruptionController
from tiphys.controllers.endpoints.controller import EndpointsController
from tiphys.controllers.endpointslice.controller import EndpointSliceController
from tiphys.controllers.endpointslicemirroring.controller import EndpointSliceMirroringController
from tiphys.controllers.garbage.controller import GarbageController
from tiphys.controllers.loadbalancer.controller import LoadBalancerController
from tiphys.controllers.namespace.controller import NamespaceController
from tiphys.controllers.nodelifecycle.controller import NodeLifecycleController
from tiphys.controllers.podgc.controller import PodGcController
from tiphys.controllers.replicaset.controller import ReplicaSetController
from tiphys.controllers.resourcequota.controller import ResourceQuotaController
from tiphys.controllers.rootca.controller import RootCaController
from tiphys.controllers.serviceaccount.controller import ServiceAccountController
from tiphys.controllers.tainteviction.controller import TaintEvictionController
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
        ("apps", "v1", "statefulsets"), ("policy", "v1", "poddisruptionbudgets"),
        ("", "v1", "nodes"), ("", "v1", "serviceaccounts"), ("apps", "v1", "deployments"),
        ("apps", "v1", "replicasets"), ("discovery.k8s.io", "v1", "endpointslices"),
        ("coordination.k8s.io", "v1", "leases"), ("rbac.authorization.k8s.io", "v1", "clusterroles"),
    )
)  # fmt: skip

Run = Callable[[], Awaitable[None]]


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

    def tools(account: str, component: str) -> tuple[Client, Recorder]:
        own = client.acting_as(service_account(account), MANAGER_AGENT)
        recorder = Recorder(own, component)
        runs.append(recorder.run)
        return own, recorder

    def common(account: str, component: str = "") -> tuple[Client, Informers, Recorder]:
        own, recorder = tools(account, component or account)
        return own, informers, recorder

    aggregation = "clusterrole-aggregation-controller"
    own, recorder = tools("root-ca-cert-publisher", "root-ca-cert-publisher")
    bundle = master.identities.authority.bundle.decode("ascii")
    collector, collector_events = tools("generic-garbage-collector", "garbage-collector-controller")
    emptier, emptier_events = tools("namespace-controller", "namespace-controller")
    accountant, accountant_events = tools("resourcequota-controller", "resourcequota-controller")
    runs += [
        DeploymentController(*common("deployment-controller")).run,
        ReplicaSetController(*common("replicaset-controller")).run,
        EndpointsController(*common("endpoint-controller")).run,
        EndpointSliceController(*common("endpointslice-controller", "endpoint-slice-controller")).run,
        EndpointSliceMirroringController(*common("endpointslicemirroring-controller")).run,
        ServiceAccountController(*common("service-account-controller")).run,
        RootCaController(own, informers, recorder, bundle).run,
        NodeLifecycleController(*common("node-controller")).run,
        TaintEvictionController(*common("node-controller", "taint-eviction-controller")).run,
        PodGcController(*common("pod-garbage-collector")).run,
        LoadBalancerController(*common("service-controller")).run,
        ClusterRoleAggregationController(*common(aggregation)).run,
        GarbageController(collector, metadata, collector_events).run,
        NamespaceController(emptier, informers, metadata, emptier_events).run,
        DisruptionController(*common("disruption-controller", "controllermanager")).run,
        ResourceQuotaController(accountant, informers, metadata, accountant_events).run,
    ]
    binder = client.acting_as(SCHEDULER, "kube-scheduler")
    events = Recorder(binder, "default-scheduler")
    return [*runs, events.run, Scheduler(binder, informers, events).run]


async def run_all(runs: list[Run]) -> None:
    """Work until cancelled; the end of one is the end of all."""
    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(_forever(run))


async def _forever(run: Run) -> None:
    await run()
