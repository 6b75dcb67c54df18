"""
ResourceQuota: nothing is made that would take a namespace beyond what its quotas allow.

What a quota counts is its status: a quota that no controller has looked at yet refuses nothing. A create raises `used`
before the object is stored, with compare-and-set, so that creates that race cannot pass the limit together. A create
that fails afterwards leaves `used` too high until the controller counts again: refusing too much for a moment is better
than allowing too much for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from tiphys.api import ownership, quantity, resources
from tiphys.api.objects import timestamp
from tiphys.api.quota import Usage, is_in_scope, unsaid, usage_of, written
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, forbidden
from tiphys.apiserver.call import Attributes, Object
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.registry import body
from tiphys.apiserver.registry.rewrite import rewrite

QUOTAS = resources.get("", "v1", "resourcequotas")
# Updates of these can use more than before.
_GROWING = frozenset((("", "services"), ("", "persistentvolumeclaims"), ("", "pods/resize")))
_PODS = ("", "pods")
# Who writes `used`, as Kubernetes names it.
MANAGER = "kube-apiserver"


def plugin(parts: Parts) -> Plugin:
    """Everything namespaced at creation, and the updates that can use more."""

    async def validate(attributes: Attributes) -> None:
        if not attributes.resource.namespaced or attributes.object is None:
            return
        quotas = list(parts.cache.list("", "resourcequotas", attributes.namespace))
        for quota in quotas:
            await _charge(parts, attributes, quota)

    return Plugin("ResourceQuota", _concerns, None, validate)


def _concerns(operation: str, group: str, resource: str) -> bool:
    if operation == CREATE:
        return "/" not in resource and (group, resource) != ("", "events")
    return operation == UPDATE and (group, resource) in _GROWING


async def _charge(parts: Parts, attributes: Attributes, quota: Object) -> None:
    """Refuse what is too much, else count it."""
    obj = attributes.object
    assert obj is not None
    hard = (quota.get("status") or {}).get("hard") or {}
    if not hard or not is_in_scope(quota, attributes.resource, obj):
        return
    if (attributes.resource.group, attributes.resource.name) == _PODS and attributes.operation == CREATE:
        lacking = unsaid(obj, list(hard))
        if lacking:
            raise forbidden(attributes, f"failed quota: {quota['metadata']['name']}: must specify {lacking}")
    asked = {name: amount for name, amount in _more(attributes).items() if name in hard and amount > 0}
    if not asked:
        return

    def change(newest: Object) -> None:
        _check(attributes, newest, asked)
        before = {**newest, "metadata": {**newest["metadata"]}, "status": newest["status"]}
        used, limits = newest["status"]["used"], newest["status"]["hard"]
        totals = {name: quantity.parse(str(used[name])) + more for name, more in asked.items() if name in used}
        added = {name: written(total, str(limits[name])) for name, total in totals.items()}
        newest["status"] = {**newest["status"], "used": used | added}
        ignored = ownership.reset_fields(QUOTAS.group, QUOTAS.name, "status")
        writer = ownership.Writer(MANAGER, QUOTAS.api_version, timestamp(parts.now()), "status", ignored)
        ownership.record_update(before, newest, body.message_of(QUOTAS), writer)

    metadata = quota["metadata"]
    await rewrite(parts, QUOTAS, metadata["namespace"], metadata["name"], change, dry_run=attributes.dry_run)


def _more(attributes: Attributes) -> Usage:
    """What a create uses, or an update uses more than before."""
    obj, old = attributes.object, attributes.old
    assert obj is not None
    resource = attributes.resource
    if resource.name == "pods/resize":
        resource = resources.get("", "v1", "pods")
    used = usage_of(resource, obj)
    before = usage_of(resource, old) if old is not None else {}
    return {name: amount - before.get(name, Fraction(0)) for name, amount in used.items()}


def _check(attributes: Attributes, quota: Object, asked: Usage) -> None:
    name, status = quota["metadata"]["name"], quota.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    unknown = sorted(each for each in asked if each in hard and each not in used)
    if unknown:
        raise forbidden(attributes, f"status unknown for quota: {name}, resources: {','.join(unknown)}")
    exceeded = sorted(
        each for each, amount in asked.items()
        if each in hard and quantity.parse(str(used[each])) + amount > quantity.parse(str(hard[each]))
    )  # fmt: skip
    if exceeded:
        requested = {each: written(asked[each], str(hard[each])) for each in exceeded}
        parts = (("requested", requested), ("used", used), ("limited", hard))
        told = ", ".join(f"{word}: {_listed(amounts, exceeded)}" for word, amounts in parts)
        raise forbidden(attributes, f"exceeded quota: {name}, {told}")


def _listed(amounts: Mapping[str, object], names: list[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)
