"""
Keep the state up to date from the objects, and wake the pods that a change can help.

Storage, namespaces and selectors are followed before pods are: a pod that is counted has to find its claims.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, key_of, labels_of, name_of, uid_of
from tiphys.api.pods import is_finished
from tiphys.client.informer import Informer, Informers
from tiphys.scheduler import hints
from tiphys.scheduler.ledger import takes_less
from tiphys.scheduler.queue import SchedulingQueue
from tiphys.scheduler.reports import PODS
from tiphys.scheduler.state import State
from tiphys.scheduler.volume_binding import CLAIMS, VOLUMES

Object = dict[str, Any]
Handler = Callable[[Object | None, Object | None], None]

NAME = "default-scheduler"

NODES = resources.get("", "v1", "nodes")
NAMESPACES = resources.get("", "v1", "namespaces")
SERVICES = resources.get("", "v1", "services")
REPLICATION_CONTROLLERS = resources.get("", "v1", "replicationcontrollers")
REPLICA_SETS = resources.get("apps", "v1", "replicasets")
STATEFUL_SETS = resources.get("apps", "v1", "statefulsets")
CLASSES = resources.get("storage.k8s.io", "v1", "storageclasses")
DRIVERS = resources.get("storage.k8s.io", "v1", "csidrivers")
CAPACITIES = resources.get("storage.k8s.io", "v1", "csistoragecapacities")
CSI_NODES = resources.get("storage.k8s.io", "v1", "csinodes")


class Follower:
    """Handlers of everything that decisions depend on. `claim_changed` is told of claims, and of pods that are gone."""

    def __init__(
        self,
        informers: Informers,
        state: State,
        queue: SchedulingQueue,
        claim_changed: Callable[[tuple[str, str]], None],
    ) -> None:
        self._state = state
        self._queue = queue
        self._claim_changed = claim_changed
        self._pods = informers.of(PODS)
        grouped = (SERVICES, REPLICATION_CONTROLLERS, REPLICA_SETS, STATEFUL_SETS)
        self._first: list[tuple[Informer, Handler]] = [
            (informers.of(NAMESPACES), self._namespace_changed),
            *((informers.of(resource), self._siblings_changed) for resource in grouped),
            (informers.of(CLASSES), self._class_changed),
            (informers.of(DRIVERS), self._driver_changed),
            (informers.of(CAPACITIES), self._capacity_changed),
            (informers.of(VOLUMES), self._volume_changed),
            (informers.of(CLAIMS), self._claim),
            (informers.of(NODES), self._node_changed),
            (informers.of(CSI_NODES), self._csi_node_changed),
        ]

    async def start(self) -> None:
        """Follow from now on; returns when everything that is there has been seen."""
        for informer, handler in self._first:
            informer.on_event(handler)
        for informer, _ in self._first:
            await informer.synced()
        self._pods.on_event(self._pod_changed)
        await self._pods.synced()

    # pods

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is None:
            return
        key, node = key_of(pod), pod["spec"].get("nodeName")
        if new is None or is_finished(pod):
            self._drop(pod)
            self._state.nominations.victims.discard(uid_of(pod))
            if self._state.ledger.remove(uid_of(pod)):
                self._queue.wake(hints.after_pod_left(self._state, pod, node or ""))
        elif node:
            self._queue.drop(key)
            self._state.nominations.remove(uid_of(pod))
            self._placed(pod, node)
        elif is_deleting(pod) or pod["spec"].get("schedulingGates"):
            self._drop(pod)
        elif pod["spec"].get("schedulerName", NAME) == NAME:
            self._nominated(old, pod)
            self._queue.put(key, pod)

    def _drop(self, pod: Object) -> None:
        """The pod wants no node any longer; what it was promised is free."""
        self._queue.drop(key_of(pod))
        self._claim_changed(key_of(pod))
        promised = self._state.nominations.remove(uid_of(pod))
        if promised is not None:
            self._queue.wake(hints.after_pod_left(self._state, pod, promised.node))

    def _placed(self, pod: Object, node: str) -> None:
        """The pod is on a node: as was assumed, or with other labels, or taking less than before, or on its way out."""
        ledger = self._state.ledger
        held = ledger.get(uid_of(pod))
        if not ledger.place(pod, node):
            return
        if held is not None:
            freed = held.node != node or takes_less(ledger.get(uid_of(pod)), held)
            self._queue.wake(hints.after_pod_left(self._state, held.pod, held.node, freed=freed))
        self._queue.wake(hints.after_pod_came(self._state, pod), hints.COMPANY)

    def _nominated(self, old: Object | None, pod: Object) -> None:
        """Somebody has promised the pod a node, or takes that back; what is not said yet may be under way."""
        before, now = (((each or {}).get("status") or {}).get("nominatedNodeName", "") for each in (old, pod))
        if now and now != before and self._state.ledger.get(uid_of(pod)) is None:
            self._state.nominations.put(self._state.ledger.placed(pod, now))
        elif before and not now:
            self._state.nominations.remove(uid_of(pod))

    # nodes

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        state = self._state
        if new is None:
            name = old["metadata"]["name"] if old is not None else ""
            state.ledger.node_removed(name)
            state.table.remove(name)
            self._queue.wake(hints.after_node(state, old, None))
            return
        name = new["metadata"]["name"]
        known = state.table.row_of.get(name)
        before = state.table.objects[known] if known is not None else None
        changed = state.table.put(new)
        if known is None:
            state.ledger.node_added(name)
        if changed:
            self._queue.wake(hints.after_node(state, before, new))

    def _csi_node_changed(self, old: Object | None, new: Object | None) -> None:
        attached = self._state.world.attached
        if new is not None:
            attached.put_csi_node(new)
            self._queue.wake(hints.after_csi_node)
        elif old is not None:
            attached.remove_csi_node(name_of(old))

    # what selects pods

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        namespaces = self._state.world.namespaces
        if new is None:
            namespaces.remove(name_of(old or {"metadata": {}}))
        elif namespaces.put(name_of(new), labels_of(new)):
            self._queue.wake(hints.after_namespace)

    def _siblings_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._state.world.siblings.put(new)
        elif old is not None:
            self._state.world.siblings.remove(old)

    # storage

    def _claim(self, old: Object | None, new: Object | None) -> None:
        claim = new if new is not None else old
        if claim is None:
            return
        key = key_of(claim)
        if new is None:
            self._state.volumes.claims.pop(key, None)
        else:
            self._state.volumes.claims[key] = new
            self._queue.wake(hints.after_claim(key))
        self._claim_changed(key)

    def _volume_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._state.volumes.put_volume(new)
            self._queue.wake(hints.after_volume)
        elif old is not None:
            self._state.volumes.remove_volume(name_of(old))

    def _class_changed(self, old: Object | None, new: Object | None) -> None:
        self._keep(self._state.volumes.classes, name_of, old, new)
        self._queue.wake(hints.after_class)

    def _driver_changed(self, old: Object | None, new: Object | None) -> None:
        self._keep(self._state.volumes.drivers, name_of, old, new)
        self._queue.wake(hints.after_capacity)

    def _capacity_changed(self, old: Object | None, new: Object | None) -> None:
        self._keep(self._state.volumes.capacities, key_of, old, new)
        self._queue.wake(hints.after_capacity)

    @staticmethod
    def _keep(held: dict[Any, Object], key: Callable[[Object], Any], old: Object | None, new: Object | None) -> None:
        if new is not None:
            held[key(new)] = new
        elif old is not None:
            held.pop(key(old), None)
