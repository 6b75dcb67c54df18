"""
Nobody gives away what they do not hold.

Who writes a role must hold every rule in it, or be allowed to `escalate` it; who writes a binding must hold every rule
of the role that it names, or be allowed to `bind` it. Checked after mutating admission and before validation, as
Kubernetes does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.api import errors
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, forbidden, on
from tiphys.apiserver.authn.groups import MASTERS
from tiphys.apiserver.authz import rules
from tiphys.apiserver.authz.attributes import Access, quoted
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.rbac import GROUP, Rbac, RoleNotFound, UnknownRoleKind
from tiphys.apiserver.authz.rules import Rule
from tiphys.apiserver.call import Attributes, Object

# An aggregated role gets whatever others label for it, so only who holds everything may make one.
_EVERYTHING: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
_PLURALS = {"Role": "roles", "ClusterRole": "clusterroles"}


def plugin(authorizer: Authorizer) -> Plugin:
    """Looks at every write of a role or a binding."""

    def mutate(attributes: Attributes) -> None:
        obj = attributes.object
        if obj is None:
            return
        if attributes.resource.name.endswith("bindings"):
            _check_binding(authorizer, attributes, obj)
        elif MASTERS not in attributes.user.groups:
            _check_role(authorizer, attributes, obj)

    kinds = [(GROUP, name) for name in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")]
    return Plugin("Escalation", on((CREATE, UPDATE), *kinds), mutate)


def _check_role(authorizer: Authorizer, attributes: Attributes, role: Object) -> None:
    old = attributes.old
    if old is not None and _same(role, old, "rules") and _same(role, old, "aggregationRule"):
        return
    access = _access(attributes, "escalate", attributes.resource.name, attributes.namespace, attributes.name)
    if authorizer.decide(access)[0]:
        return
    wanted: Sequence[Rule] = _EVERYTHING if role.get("aggregationRule") else role.get("rules") or ()
    _confirm(authorizer.rbac, attributes, wanted)


def _check_binding(authorizer: Authorizer, attributes: Attributes, binding: Object) -> None:
    old = attributes.old
    if old is not None and _same(binding, old, "roleRef") and _same(binding, old, "subjects"):
        return
    reference = binding.get("roleRef") or {}
    plural = _PLURALS.get(reference.get("kind", ""))
    namespace = attributes.namespace
    if plural is not None:
        if MASTERS in attributes.user.groups:
            return
        role_namespace = namespace if plural == "roles" else ""
        # A ClusterRole bound in a namespace may be bound by who may bind it there.
        for place in dict.fromkeys((role_namespace, namespace)):
            if authorizer.decide(_access(attributes, "bind", plural, place, reference.get("name", "")))[0]:
                return
    try:
        wanted = authorizer.rbac.rules_of(reference, namespace)
    except UnknownRoleKind as unknown:
        raise errors.failure(500, "", str(unknown)) from None
    except RoleNotFound:
        raise errors.not_found(attributes.resource.name, GROUP, reference.get("name", "")) from None
    _confirm(authorizer.rbac, attributes, wanted)


def _same(new: Object, old: Object, field: str) -> bool:
    before: Any = old.get(field) or None
    after: Any = new.get(field) or None
    return bool(before == after)


def _access(attributes: Attributes, verb: str, plural: str, namespace: str, name: str) -> Access:
    return Access(attributes.user, verb, GROUP, "v1", plural, "", namespace, name)


def _confirm(rbac: Rbac, attributes: Attributes, wanted: Sequence[Rule]) -> None:
    user = attributes.user
    lacking = rules.missing(rbac.held(user, attributes.namespace), wanted)
    if not lacking:
        return
    listed = "\n".join(sorted({rules.shown(rule) for rule in lacking}))
    who = f"user {quoted(user.name)} (groups=[{' '.join(quoted(group) for group in user.groups)}])"
    raise forbidden(attributes, f"{who} is attempting to grant RBAC permissions not currently held:\n{listed}")
