"""
The part of a node that serves Ingresses, and what it needs in the API: the class `tiphys`, marked as the default, and
its rights. Where its port is set to 0 there is none of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.cluster.controllers import service_account
from tiphys.cluster.master import Master
from tiphys.cluster.settings import Settings
from tiphys.ingress.settings import CONTROLLER, IngressSettings
from tiphys.reconcile.tools import Tools
from tiphys.wire.messages import Identity

if TYPE_CHECKING:
    from tiphys.ingress.ingress import Ingress

Object = dict[str, Any]

INGRESSES = resources.get("networking.k8s.io", "v1", "ingresses")
CLASS = "tiphys"
ACCOUNT, ROLE = "ingress-controller", "system:controller:ingress-controller"
ADMIN = Identity("system:apiserver", ("system:masters", "system:authenticated"))
RBAC = "rbac.authorization.k8s.io"


class WayIn:
    """
    The part, or nothing at all. `run()` works until cancelled.

    Before there is an Ingress, or something of an earlier server's, not even its modules are loaded: a cluster that has
    no Ingress pays for a watch.
    """

    def __init__(self, master: Master, informers: Informers, node_ip: str) -> None:
        self._master = master
        self._informers = informers
        self._node_ip = node_ip
        self._ingress: Ingress | None = None
        self._decided = asyncio.Event()

    async def run(self) -> None:
        settings = self._master.settings
        if not settings.ingress_http_port:
            self._decided.set()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(_publish(self._master), name="objects of ingresses")
            await self._needed()
            client = Client(self._master.handle, identity=service_account(ACCOUNT), user_agent=ACCOUNT)
            recorder = Recorder(client, ACCOUNT, settings.node_name)
            self._ingress = _build(settings, self._node_ip, Tools(client, self._informers, recorder))
            group.create_task(recorder.run(), name="events of ingresses")
            group.create_task(self._ingress.run(), name="ingress")
            self._decided.set()

    async def _needed(self) -> None:
        """Return when there is something to do; it is known then that there was nothing before."""
        known, some = self._informers.of(INGRESSES), asyncio.Event()
        await known.synced()
        if len(known) or self._master.settings.ingress_dir.exists():
            return
        known.on_event(lambda old, new: some.set())
        self._decided.set()
        await some.wait()

    async def settled(self) -> None:
        """Return when an earlier server's data plane knows what changed since."""
        await self._decided.wait()
        if self._ingress is not None:
            await self._ingress.settled.wait()

    async def requests(self) -> dict[tuple[str, str], int]:
        """What came to each Service through Ingresses."""
        return await self._ingress.requests() if self._ingress is not None else {}

    def and_withdrawn(self, from_packets: Callable[[str], Awaitable[None]]) -> Callable[[str], Awaitable[None]]:
        """Neither packets nor requests are led to a pod any more."""

        async def withdrawn(uid: str) -> None:
            if self._ingress is None:
                await from_packets(uid)
            else:
                await asyncio.gather(from_packets(uid), self._ingress.withdrawn(uid))

        return withdrawn


def _build(settings: Settings, node_ip: str, tools: Tools) -> Ingress:
    from tiphys.ingress.ingress import Ingress

    ports = (settings.ingress_http_port, settings.ingress_https_port)
    return Ingress(IngressSettings(settings.ingress_dir, node_ip, settings.bind, *ports), tools)


async def _publish(master: Master) -> None:
    """Write what is missing; what is there stays as somebody may have changed it."""
    client = Client(master.handle, identity=ADMIN, user_agent="tiphys")
    for resource, obj in _objects():
        try:
            await client.create(resource, obj)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise


def _objects() -> list[tuple[resources.Resource, Object]]:
    role = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": ROLE},
        "rules": [
            {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["patch", "update"]},
            {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
        ],
    }
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ROLE},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "kube-system"}],
    }
    own_class = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": CLASS, "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": CONTROLLER},
    }
    return [
        (resources.get(RBAC, "v1", "clusterroles"), role),
        (resources.get(RBAC, "v1", "clusterrolebindings"), binding),
        (resources.get("networking.k8s.io", "v1", "ingressclasses"), own_class),
    ]
