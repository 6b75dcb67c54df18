"""SelfSubjectRulesReview: what may I do here? `kubectl auth can-i --list` asks it."""

from __future__ import annotations

from typing import Any

from tiphys.api import errors
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.authz.rules import Rule
from tiphys.apiserver.call import Call, Object, Review

GROUP = "authorization.k8s.io"
_RESOURCE_FIELDS = ("verbs", "apiGroups", "resources", "resourceNames")


def reviews(rbac: Rbac) -> dict[tuple[str, str], Review]:
    """The review by (group, resource)."""

    async def rules(call: Call, obj: Object) -> Object:
        namespace = (obj.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        # Only what RBAC says, as in Kubernetes: that system:masters may do all is known to the authorizer alone.
        held = rbac.held(call.user, namespace)
        resources = [_only(rule, _RESOURCE_FIELDS) for rule in held if rule.get("resources")]
        urls = [_only(rule, ("verbs", "nonResourceURLs")) for rule in held if rule.get("nonResourceURLs")]
        obj["status"] = {"resourceRules": resources, "nonResourceRules": urls, "incomplete": False}
        return obj

    return {(GROUP, "selfsubjectrulesreviews"): rules}


def _only(rule: Rule, fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: list(rule[field]) for field in fields if rule.get(field)}
