"""
May they? system:masters always; a node agent what the node authorizer says; everybody what RBAC says.

What RBAC decided is kept by user, verb, resource and namespace until an RBAC object changes. The kept value is the set
of names that are allowed, or ALL, so that one entry answers for every object of a collection.
"""

from __future__ import annotations

from dataclasses import replace

from tiphys.api.resources import Resource
from tiphys.api.validation.names import LABEL_LENGTH_MAX
from tiphys.apiserver.authn.groups import MASTERS, node_of
from tiphys.apiserver.authz.attributes import Access, forbidden, of_call
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.call import Call

# Decisions that are kept. When it is full it starts again: the busy ones come back at once.
KEPT_MAX = 50_000
USER_LENGTH_MAX = 512
# Running commands in a pod takes `create`, also when a WebSocket brings it as a GET, which `get` alone would allow.
_CONNECTING = frozenset(("pods/exec", "pods/attach", "pods/portforward"))

_Key = tuple[str, tuple[str, ...], str, str, str, str]


class Authorizer:
    """`follow` must see every change of the cache that the parts read."""

    def __init__(self, rbac: Rbac, nodes: NodeAuthorizer | None = None) -> None:
        self._rbac = rbac
        self._nodes = nodes
        self._kept: dict[_Key, frozenset[str] | None] = {}
        self._generation = rbac.generation

    @property
    def rbac(self) -> Rbac:
        return self._rbac

    async def authorize(self, call: Call) -> None:
        """See the Authorizer door."""
        user = call.user
        if MASTERS in user.groups:
            return
        resource = call.resource
        if resource is None:
            self.require(of_call(call))
            return
        self._authorize_on(call, resource, call.verb)
        if call.verb == "get" and not resource.group and resource.name in _CONNECTING:
            self._authorize_on(call, resource, "create")

    def _authorize_on(self, call: Call, resource: Resource, verb: str) -> None:
        user = call.user
        if self._generation != self._rbac.generation:
            self._generation = self._rbac.generation
            self._kept.clear()
        key = (user.name, user.groups, verb, resource.group, resource.name, call.namespace)
        try:
            names = self._kept[key]
        except KeyError:
            names = self._decide(key, _asked(call, verb))
        if names is None or (names and call.name in names):
            return
        self.require(_asked(call, verb))

    def require(self, access: Access) -> None:
        """Raises 403 unless the access is allowed."""
        allowed, reason = self.decide(access)
        if not allowed:
            raise forbidden(access, reason)

    def decide(self, access: Access) -> tuple[bool, str]:
        """(allowed, reason): the whole decision, with the reason that reviews and refusals tell."""
        if MASTERS in access.user.groups:
            return True, ""
        reasons = []
        node = node_of(access.user)
        if node and self._nodes is not None:
            allowed, reason = self._nodes.decide(node, access)
            if allowed:
                return True, reason
            reasons.append(reason)
        allowed, reason = self._rbac.decide(access)
        if allowed:
            return True, reason
        return False, "\n".join(text for text in (*reasons, reason) if text)

    def _decide(self, key: _Key, access: Access) -> frozenset[str] | None:
        """The names that RBAC allows. A node agent's own rules look at objects, so they are never kept."""
        names = self._rbac.names(access)
        # Paths come from clients, refused ones too: what cannot be a namespace's name must not fill the memory.
        if len(access.namespace) <= LABEL_LENGTH_MAX and len(access.user.name) <= USER_LENGTH_MAX:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[key] = names
        return names


def _asked(call: Call, verb: str) -> Access:
    access = of_call(call)
    return access if access.verb == verb else replace(access, verb=verb)
