"""Gather a budget's pods and the scales of their owners, and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import controller_of, is_deleting, key_of, labels_of, name_of, namespace_of
from tiphys.api.pods import is_ready
from tiphys.client.informer import Informer
from tiphys.controllers.disruption.plan import BUDGETS, PODS, TARGET, Scales, needs_scales, plan, selector_of
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]
Reference = Mapping[str, Any]

# Owners that say how many pods there should be. A ReplicaSet's own owner speaks for it.
SCALED = tuple(
    resources.get(*place)
    for place in (
        ("apps", "v1", "replicasets"), ("apps", "v1", "deployments"), ("apps", "v1", "statefulsets"),
        ("", "v1", "replicationcontrollers"),
    )
)  # fmt: skip


class DisruptionController:
    """Writes `status` of PodDisruptionBudgets; the eviction subresource takes from it in between."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._budgets = tools.informers.of(BUDGETS)
        self._pods = tools.informers.of(PODS)
        self._scaled = {resource.kind: tools.informers.of(resource) for resource in SCALED}
        scaled = dict.fromkeys(self._scaled.values(), self._keys_of_owner)
        sources = {self._budgets: own_key, self._pods: self._keys_of_pod, **scaled}
        self._loop = Loop("disruption-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        versions = [version for version in (old, new) if version is not None]
        budgets = self._budgets.list(namespace_of(versions[0])) if versions else ()
        if not budgets or (old is not None and new is not None and _shown(old) == _shown(new)):
            return
        for budget in budgets:
            selector = selector_of(budget)
            if any(selector.matches(labels_of(version)) for version in versions):
                yield key_of(budget)

    def _keys_of_owner(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if old is None or (new is not None and old["spec"].get("replicas") == new["spec"].get("replicas")):
            return
        yield from (key_of(budget) for budget in self._budgets.list(namespace_of(old)) if needs_scales(budget))

    async def _reconcile(self, key: Key) -> Performed | None:
        budget = self._budgets.get(*key)
        if budget is None:
            return None
        selector = selector_of(budget)
        pods = [pod for pod in self._pods.list(key[0]) if selector.matches(labels_of(pod))]
        scales = self._scales(pods) if needs_scales(budget) else Scales()
        return await self._tools.perform(plan(budget, pods, scales, self._tools.now()))

    def _scales(self, pods: Sequence[Object]) -> Scales:
        """Each owner counts once, however many of its pods there are."""
        wanted: dict[str, int] = {}
        unmanaged: list[str] = []
        seen: set[str] = set()
        for pod in pods:
            reference = controller_of(pod)
            if reference is None:
                unmanaged.append(name_of(pod))
                continue
            if reference["uid"] in seen:
                continue
            seen.add(reference["uid"])
            informer = self._informer_of(reference)
            if informer is None:
                return Scales(error=f"{_resource_name(reference)} does not implement the scale subresource")
            owner = self._top(informer, reference, namespace_of(pod))
            if owner is None:
                return Scales(error=f'found no controllers for pod "{name_of(pod)}"')
            wanted[owner["metadata"]["uid"]] = int(owner["spec"].get("replicas", 1))
        return Scales(sum(wanted.values()), tuple(sorted(unmanaged)))

    def _informer_of(self, reference: Reference) -> Informer | None:
        informer = self._scaled.get(reference["kind"])
        return informer if informer is not None and informer.resource.group == _group(reference) else None

    def _top(self, informer: Informer, reference: Reference, namespace: str) -> Object | None:
        """The owner itself, or the Deployment behind a ReplicaSet; None if it is gone."""
        owner = informer.get(namespace, reference["name"])
        if owner is None or owner["metadata"]["uid"] != reference["uid"]:
            return None
        above = controller_of(owner)
        if reference["kind"] != "ReplicaSet" or above is None:
            return owner
        behind = self._informer_of(above)
        return owner if behind is None else self._top(behind, above, namespace)


def _resource_name(reference: Reference) -> str:
    """`jobs.batch`: the resource and group of a kind, as Kubernetes names them in errors."""
    resource = resources.of_kind(reference["apiVersion"], reference["kind"])
    plural = resource.name if resource is not None else reference["kind"].lower() + "s"
    return f"{plural}.{_group(reference)}".rstrip(".")


def _group(reference: Reference) -> str:
    group, slash, _ = reference["apiVersion"].partition("/")
    return str(group) if slash else ""


def _shown(pod: Object) -> tuple[Any, ...]:
    """What a budget sees of a pod."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    target = [condition.get("status") for condition in conditions if condition["type"] == TARGET]
    owner = (controller_of(pod) or {}).get("uid")
    return labels_of(pod), is_ready(pod), is_deleting(pod), owner, target
