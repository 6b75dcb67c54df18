"""`…/scale`: the replicas of a workload as a Scale object, read and written."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tiphys.api import errors, ownership, resources
from tiphys.api.resources import Resource
from tiphys.apiserver import answers
from tiphys.apiserver.call import Call, Object
from tiphys.apiserver.negotiation import Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.registry import body, meta
from tiphys.apiserver.registry.get import current
from tiphys.apiserver.registry.options import WriteOptions, write_options
from tiphys.apiserver.registry.patch import Patcher, patch_options
from tiphys.apiserver.registry.update import Intent, change
from tiphys.apiserver.routing import Route
from tiphys.wire.messages import Response

_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_OPERATORS = {"In": "in", "NotIn": "notin"}


async def get_scale(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """GET …/scale."""
    record = await current(parts, call, route)
    return answers.of_object(call, scale_of(record.object), form)


async def update_scale(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """PUT …/scale."""
    assert call.resource is not None
    options = write_options("UpdateOptions", route.query)
    sent = body.decode_object(call, call.resource, options)
    meta.check_name(sent, route.name)
    meta.check_namespace(call.resource, sent, route.namespace)

    async def rescale(scale: Object) -> Object:
        new = body.copy_of(sent)
        body.own(call, scale, new, options)
        return new

    return await _change(parts, call, route, form, rescale, options)


async def patch_scale(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """PATCH …/scale, of any patch type."""
    assert call.resource is not None
    options = patch_options(call)
    patcher = Patcher(call, call.resource, options)

    async def rescale(scale: Object) -> Object:
        new = patcher.patched(scale)
        meta.check_name(new, route.name)
        meta.check_namespace(patcher.resource, new, route.namespace)
        if not patcher.applies:
            body.own(call, scale, new, options)
        return new

    return await _change(parts, call, route, form, rescale, options)


async def _change(
    parts: Parts,
    call: Call,
    route: Route,
    form: Format,
    rescale: Callable[[Object], Awaitable[Object]],
    options: WriteOptions,
) -> Response:
    assert call.resource is not None
    parent = parent_of(call.resource)

    async def produce(old: Object | None) -> Object:
        assert old is not None
        held = old["metadata"].get("managedFields")
        scale = scale_of(old)
        scale["metadata"]["managedFields"] = ownership.entries_of_scale(held)
        scale = await rescale(scale)
        _check(scale)
        new = body.copy_of(old)
        new["spec"]["replicas"] = scale["spec"].get("replicas", 0) if scale.get("spec") else 0
        for name in ("uid", "resourceVersion"):
            new["metadata"][name] = scale["metadata"].get(name, "")
        owners = scale["metadata"].get("managedFields")
        new["metadata"]["managedFields"] = ownership.entries_of_workload(held, owners, parent.api_version)
        return new

    as_parent = dataclasses.replace(call, resource=parent, subresource="")
    record, status = await change(parts, as_parent, route, Intent(produce, options))
    call.warnings = as_parent.warnings
    return answers.of_object(call, scale_of(record.object), form, status)


def parent_of(resource: Resource) -> Resource:
    """`deployments` of `deployments/scale`."""
    return resources.get(resource.group, resource.version, resource.name.partition("/")[0])


def _check(scale: Object) -> None:
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = {"reason": "FieldValueInvalid", "message": text, "field": "spec.replicas"}
        raise errors.invalid("Scale", "autoscaling", scale["metadata"]["name"], [f"spec.replicas: {text}"], [cause])


def scale_of(obj: Mapping[str, Any]) -> Object:
    """The Scale of a workload."""
    metadata = obj["metadata"]
    replicas = (obj.get("spec") or {}).get("replicas", 0)
    status: Object = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
    selector = selector_text((obj.get("spec") or {}).get("selector") or {})
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in _SHOWN if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def selector_text(selector: Mapping[str, Any]) -> str:
    """A label selector as one line: `app=a,env in (dev,prod),!old`."""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        labels: Mapping[str, Any] = selector  # a ReplicationController's selector is a plain map
    else:
        labels = selector.get("matchLabels") or {}
    parts = [(key, f"{key}={value}") for key, value in labels.items()]
    parts += [(each["key"], _expression_text(each)) for each in selector.get("matchExpressions") or ()]
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _expression_text(expression: Mapping[str, Any]) -> str:
    key, operator = expression["key"], expression["operator"]
    if operator in _OPERATORS:
        return f"{key} {_OPERATORS[operator]} ({','.join(sorted(expression.get('values') or ()))})"
    return key if operator == "Exists" else f"!{key}"
