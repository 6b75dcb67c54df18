"""
Follow NetworkPolicies, pods and namespaces: which of them add what to the packet rules, and which changed.

Pods and namespaces are looked at from the first policy on; before it this costs a dictionary entry for each pod that
starts here. A pod of this node is known from the moment that it has an address (`guard`), which is before its object
says so and before its containers run, until that address is given back (`release`), be its object gone or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tiphys.api.objects import key_of, labels_of, namespace_of, uid_of
from tiphys.api.resources import Resource, get
from tiphys.client.informer import Informer
from tiphys.network.rules import Ruleset
from tiphys.proxy.claims import Owner
from tiphys.proxy.policy.pods import Placed, Standing, address_of, declared, rules_of
from tiphys.proxy.policy.rules import Policy, read

Object = dict[str, Any]

NETWORK_POLICIES: Resource = get("networking.k8s.io", "v1", "networkpolicies")
PODS: Resource = get("", "v1", "pods")
NAMESPACES: Resource = get("", "v1", "namespaces")
UID_INDEX = "uid"
POLICY, POD = "policy of", "pod with uid"


class Policies:
    """`mark` is told each owner of rules whose share may have changed."""

    def __init__(self, node_name: str, informer_of: Callable[[Resource], Informer], mark: Callable[[Owner], None]):
        self._node_name = node_name
        self._informer_of = informer_of
        self._mark = mark
        self._source = informer_of(NETWORK_POLICIES)
        self._policies: dict[tuple[str, str], Policy] = {}
        self._standing = Standing.of(())
        # Both from the first policy on.
        self._pods: Informer | None = None
        self._namespaces: Informer | None = None
        self._guarded: dict[str, Placed] = {}
        # Pods whose address may already be another's, while their object is still there.
        self._released: set[str] = set()

    async def begin(self) -> None:
        """Follow policies from now on."""
        await self._source.synced()
        self._source.on_event(self._policy_changed)
        await self.synced()

    async def synced(self) -> None:
        """Return when everything is known that policies speak of."""
        for informer in (self._pods, self._namespaces):
            if informer is not None:
                await informer.synced()

    # what there is to add

    def owners(self) -> Iterator[Owner]:
        """Everybody who adds rules at present."""
        if self._policies:
            yield from ((POLICY, *key) for key in self._policies)
            yield from ((POD, uid) for uid in self._uids())

    def plan(self, owner: Owner) -> Ruleset:
        """What the policy or pod adds; nothing if it is gone."""
        if owner[0] == POLICY:
            policy = self._policies.get((owner[1], owner[2]))
            return declared(policy) if policy is not None else Ruleset()
        placed = self._placed(owner[1])
        if placed is None or not self._policies:
            return Ruleset()
        return rules_of(placed, self._labels_of_namespace(namespace_of(placed.pod)), self._standing)

    def _placed(self, uid: str) -> Placed | None:
        known = next(iter(self._pods.by(UID_INDEX, uid)), None) if self._pods is not None else None
        guarded = self._guarded.get(uid)
        if guarded is not None:
            return Placed(known or guarded.pod, guarded.address, here=True)
        address = address_of(known) if known is not None else ""
        if known is None or not address or uid in self._released:
            return None
        here = known["spec"].get("nodeName") == self._node_name
        taken = here and any(other.address == address for other in self._guarded.values())
        return None if taken else Placed(known, address, here)

    def _labels_of_namespace(self, name: str) -> Mapping[str, str]:
        namespace = self._namespaces.get("", name) if self._namespaces is not None else None
        return labels_of(namespace) if namespace is not None else {}

    def _uids(self, namespace: str = "") -> set[str]:
        """The pods of one namespace, or all."""
        known = self._pods.list(namespace) if self._pods is not None else ()
        guarded = {
            uid for uid, placed in self._guarded.items() if not namespace or namespace_of(placed.pod) == namespace
        }
        return guarded | {uid_of(pod) for pod in known}

    # the pods of this node

    def guard(self, pod: Object, address: str) -> Owner | None:
        """The pod has this address now: the owner whose rules must be written before it may run, if any."""
        self._released.discard(uid_of(pod))
        self._guarded[uid_of(pod)] = Placed(pod, address, here=True)
        return self._pod_marked(uid_of(pod))

    def release(self, uid: str) -> None:
        """The address is no longer the pod's."""
        if self._guarded.pop(uid, None) is None and self._pods is None:
            return
        if self._pods is not None and self._pods.by(UID_INDEX, uid):
            self._released.add(uid)
        self._pod_marked(uid)

    def _pod_marked(self, uid: str) -> Owner | None:
        if not self._policies:
            return None
        owner = (POD, uid)
        self._mark(owner)
        return owner

    # events

    def _policy_changed(self, old: Object | None, new: Object | None) -> None:
        key = key_of(_either(old, new))
        before, after = self._policies.pop(key, None), read(new) if new is not None else None
        if after is not None:
            self._policies[key] = after
        self._standing = Standing.of(self._policies.values())
        self._look_at_pods()
        self._mark((POLICY, *key))
        alone = all(policy is None or policy.is_local for policy in (before, after))
        for uid in self._uids(key[0] if alone else ""):
            self._mark((POD, uid))

    def _look_at_pods(self) -> None:
        if self._pods is None:
            self._pods, self._namespaces = self._informer_of(PODS), self._informer_of(NAMESPACES)
            self._pods.add_index(UID_INDEX, _uids_of)
            self._pods.on_event(self._pod_changed)
            self._namespaces.on_event(self._namespace_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._released.discard(uid_of(old))
            self._pod_marked(uid_of(old))
        if new is not None and (old is None or _facts(old) != _facts(new)):
            self._pod_marked(uid_of(new))

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or labels_of(old) != labels_of(new):
            for uid in self._uids(_either(old, new)["metadata"]["name"]):
                self._pod_marked(uid)


def _uids_of(pod: Object) -> Iterable[str]:
    return (uid_of(pod),)


def _facts(pod: Object) -> tuple[Any, ...]:
    """All that policies ask of a pod and that can change."""
    return uid_of(pod), address_of(pod), labels_of(pod), pod["spec"].get("nodeName")


def _either(old: Object | None, new: Object | None) -> Object:
    chosen = new if new is not None else old
    assert chosen is not None
    return chosen
