"""Find what gated pods depend on, and perform their plans when one of it changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiphys.api import own_annotations, resources
from tiphys.api.objects import annotations_of, controller_of, key_of, labels_of, name_of, namespace_of
from tiphys.api.own_annotations import DEPENDS_ON, Dependency
from tiphys.client.informer import Informer
from tiphys.controllers.dependencies.plan import PODS, Node, circle_of, is_gated, lack, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, KeysOf, Loop
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

WAITING_FOR, DEPENDENT = "waiting for", "dependent"
SERVICE_NAME = "kubernetes.io/service-name"
SLICES = resources.get("discovery.k8s.io", "v1", "endpointslices")
SERVICES = resources.get("", "v1", "services")
# What pods may depend on, beside pods and Services.
WORKLOADS = tuple(
    resources.get(*place)
    for place in (
        ("apps", "v1", "deployments"), ("apps", "v1", "statefulsets"), ("apps", "v1", "daemonsets"),
        ("batch", "v1", "jobs"),
    )
)  # fmt: skip


class DependenciesController:
    """Writes the gate of dependencies of pods, which it only takes away, and the note of what they wait for."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._pods, self._slices = tools.informers.of(PODS), tools.informers.of(SLICES)
        self._replicasets = tools.informers.of(resources.get("apps", "v1", "replicasets"))
        self._kinds: dict[str, Informer] = {kind.name: tools.informers.of(kind) for kind in (*WORKLOADS, SERVICES)}
        self._kinds["pods"] = self._pods
        self._pods.add_index(WAITING_FOR, _waiting_for)
        for name in (*(kind.name for kind in WORKLOADS), "pods"):
            self._kinds[name].add_index(DEPENDENT, _dependent)
        sources: dict[Any, KeysOf] = {
            informer: self._keys_of(name) for name, informer in self._kinds.items() if name != "pods"
        }
        sources |= {self._pods: self._keys_of_pod, self._slices: self._keys_of_slice}
        self._loop = Loop("dependencies-controller", self._reconcile, sources, reads=[self._replicasets])

    async def run(self) -> None:
        await self._loop.run()

    # who waits

    def _waiters(self, namespace: str, resource: str, name: str) -> Iterator[Key]:
        for pod in self._pods.by(WAITING_FOR, f"{namespace}/{resource}/{name}"):
            yield key_of(pod)

    def _keys_of(self, resource: str) -> KeysOf:
        def keys(old: Object | None, new: Object | None) -> Iterable[Key]:
            obj = new if new is not None else old
            if obj is not None:
                yield from self._waiters(namespace_of(obj), resource, name_of(obj))

        return keys

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        pod = new if new is not None else old
        if pod is None:
            return
        if is_gated(pod):
            yield key_of(pod)
        yield from self._waiters(namespace_of(pod), "pods", name_of(pod))

    def _keys_of_slice(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        piece = new if new is not None else old
        if piece is not None and SERVICE_NAME in labels_of(piece):
            yield from self._waiters(namespace_of(piece), "services", labels_of(piece)[SERVICE_NAME])

    # facts

    async def _reconcile(self, key: Key) -> Performed | None:
        pod = self._pods.get(*key)
        if pod is None or not is_gated(pod):
            return None
        try:
            needed = own_annotations.dependencies(annotations_of(pod).get(DEPENDS_ON, ""))
        except ValueError as error:
            return await self._tools.perform(plan(pod, [str(error)]))
        lacking = [text for one in needed if (text := self._lack(key[0], one))]
        circle = circle_of(self._workload_of(pod), self._needs(key[0])) if lacking else []
        return await self._tools.perform(plan(pod, lacking, circle))

    def _lack(self, namespace: str, dependency: Dependency) -> str:
        obj = self._kinds[dependency.resource].get(namespace, dependency.name)
        ready = self._ready_endpoints(namespace, dependency.name) if dependency.resource == "services" else 0
        return lack(dependency, obj, ready)

    def _ready_endpoints(self, namespace: str, service: str) -> int:
        pieces = (one for one in self._slices.list(namespace) if labels_of(one).get(SERVICE_NAME) == service)
        endpoints = (endpoint for piece in pieces for endpoint in piece.get("endpoints") or ())
        return sum((endpoint.get("conditions") or {}).get("ready") is not False for endpoint in endpoints)

    def _workload_of(self, pod: Object) -> Node:
        """The topmost owner of the pod, or the pod itself."""
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "ReplicaSet":
            replicaset = self._replicasets.get(namespace_of(pod), owner["name"])
            owner = (controller_of(replicaset) if replicaset is not None else None) or owner
        return (f"{owner['kind'].lower()}s", owner["name"]) if owner is not None else ("pods", name_of(pod))

    def _needs(self, namespace: str) -> dict[Node, list[Node]]:
        """Who depends on whom in a namespace."""
        found: dict[Node, list[Node]] = {}
        for name in (*(kind.name for kind in WORKLOADS), "pods"):
            for obj in self._kinds[name].by(DEPENDENT, namespace):
                found[name, name_of(obj)] = [(one.resource, one.name) for one in _dependencies(obj)]
        return found


def _dependencies(obj: Object) -> tuple[Dependency, ...]:
    """What it says that it depends on; nothing where that cannot be read."""
    try:
        return (
            own_annotations.dependencies(annotations_of(obj)[DEPENDS_ON]) if DEPENDS_ON in annotations_of(obj) else ()
        )
    except ValueError:
        return ()


def _waiting_for(pod: Object) -> Iterable[str]:
    """Files a gated pod under all that it depends on."""
    if is_gated(pod):
        yield from (f"{namespace_of(pod)}/{one.resource}/{one.name}" for one in _dependencies(pod))


def _dependent(obj: Object) -> Iterable[str]:
    """Files what depends on something by itself under its namespace: a pod's owner speaks for the pod."""
    if DEPENDS_ON in annotations_of(obj) and (obj["kind"] != "Pod" or (controller_of(obj) is None and is_gated(obj))):
        yield namespace_of(obj)
