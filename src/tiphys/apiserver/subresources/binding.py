"""Bind a pod to a node: `pods/binding`, and the older collection `bindings`."""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.api import errors
from tiphys.api.objects import timestamp
from tiphys.api.resources import get as resource_of
from tiphys.apiserver import answers
from tiphys.apiserver.call import Attributes, Call, Object
from tiphys.apiserver.negotiation import JSON, Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import key_of
from tiphys.apiserver.registry import body, commit, meta
from tiphys.apiserver.registry.options import WriteOptions, write_options
from tiphys.apiserver.registry.rewrite import rewrite
from tiphys.apiserver.routing import Route
from tiphys.apiserver.subresources import placing
from tiphys.wire.messages import Response

_PLAIN = frozenset(("apiVersion", "kind", "metadata", "target"))
_PLAIN_METADATA, _PLAIN_TARGET = frozenset(("name", "namespace", "uid")), frozenset(("apiVersion", "kind", "name"))
_CREATED: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def bind(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """POST pods/NAME/binding: the pod may be named by uid too."""
    binding, options = _decoded(call, route)
    if binding["metadata"].get("name") not in ("", None, route.name):
        raise errors.bad_request("name in URL does not match name in Binding object")
    await _bind(parts, call, route.name, binding, options)
    return answers.of_status(_CREATED, form)


async def bind_named(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """POST bindings: the pod is the binding's name, its uid is not looked at."""
    binding, options = _decoded(call, route)
    binding["metadata"].pop("uid", None)
    binding["metadata"].pop("resourceVersion", None)
    await _bind(parts, call, binding["metadata"].get("name", ""), binding, options)
    return answers.of_status(_CREATED, form)


def _decoded(call: Call, route: Route) -> tuple[Object, WriteOptions]:
    assert call.resource is not None
    options = write_options("CreateOptions", route.query)
    binding = _plain(call)
    if binding is None:
        binding = body.decode_object(call, call.resource, options)
    meta.check_namespace(call.resource, binding, route.namespace)
    return binding, options


def _plain(call: Call) -> Object | None:
    """
    A body in the plain form that schedulers send, of which nothing has to be typed or defaulted; None for any other.

    Printed again it is the same, so no key came twice.
    """
    if call.request.headers.get("content-type") != JSON:
        return None
    try:
        said = orjson.loads(call.request.body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict) or said.keys() != _PLAIN or said["kind"] != "Binding" or said["apiVersion"] != "v1":
        return None
    for part, known in (("metadata", _PLAIN_METADATA), ("target", _PLAIN_TARGET)):
        fields = said[part]
        if not isinstance(fields, dict) or not fields.keys() <= known:
            return None
        if not all(isinstance(value, str) for value in fields.values()):
            return None
    return said if orjson.dumps(said) == call.request.body else None


async def _bind(parts: Parts, call: Call, name: str, binding: Object, options: WriteOptions) -> None:
    assert call.resource is not None
    attributes = Attributes(
        "CREATE", call.resource, "binding", call.namespace, name, binding, None, call.user,
        options.as_object(), options.dry_run, call.warnings,
    )  # fmt: skip
    await parts.admission.mutate(attributes)
    target = binding.get("target") or {}
    _validate(target)
    await parts.admission.validate(attributes)
    pods = resource_of("", "v1", "pods")
    key = key_of(pods, call.namespace, name)
    now = parts.now()
    if not options.dry_run and await _placed_at_once(parts, key, binding, now):
        return
    await rewrite(
        parts, pods, call.namespace, name, lambda pod: _place(pod, binding, target, key, now), dry_run=options.dry_run
    )


async def _placed_at_once(parts: Parts, key: str, binding: Object, now: float) -> bool:
    """Bind a pod that nobody has touched since it was made; False if it is to be looked at closer."""
    said, target = binding["metadata"], binding["target"]
    if any(said.get(name) for name in ("annotations", "labels", "resourceVersion")):
        return False
    await parts.cache.caught_up()
    record = parts.cache.record(key)
    plain = placing.placed(record, said.get("uid", ""), target["name"], now) if record is not None else None
    if record is None or plain is None:
        return False
    try:
        await commit.replace_encoded(parts, resource_of("", "v1", "pods"), record, plain)
    except commit.Raced:  # the newest version may be of another form
        return False
    return True


def _validate(target: Object) -> None:
    """A wrong binding is a 500 whose text is the list of errors, as it is in Kubernetes."""
    found = []
    if target.get("kind", "") not in ("", "Node"):
        found.append(f'target.kind: Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"')
    if not target.get("name"):
        found.append("target.name: Required value")
    if found:
        raise errors.failure(500, "", found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _place(pod: Object, binding: Object, target: Object, key: str, now: float) -> None:
    metadata, spec, said = pod["metadata"], pod["spec"], binding["metadata"]
    name = metadata["name"]
    if said.get("uid") and said["uid"] != metadata["uid"]:
        why = f"Precondition failed: UID in precondition: {said['uid']}, UID in object meta: {metadata['uid']}"
        raise errors.conflict("pods", "", name, _storage_error(key, why))
    if said.get("resourceVersion") and said["resourceVersion"] != metadata["resourceVersion"]:
        why = (
            f"Precondition failed: ResourceVersion in precondition: {said['resourceVersion']}, "
            f"ResourceVersion in object meta: {metadata['resourceVersion']}"
        )
        raise errors.conflict("pods", "", name, _storage_error(key, why))
    if metadata.get("deletionTimestamp"):
        raise _refused(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _refused(name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise _refused(name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = target["name"]
    if said.get("annotations"):
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **said["annotations"]}
    if said.get("labels"):
        metadata["labels"] = {**(metadata.get("labels") or {}), **said["labels"]}
    status = pod.setdefault("status", {})
    status.pop("nominatedNodeName", None)  # it was a promise
    _set_scheduled(status, metadata.get("generation"), now)


def _storage_error(key: str, why: str) -> str:
    return f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"


def _refused(name: str, why: str) -> errors.StatusError:
    return errors.conflict("pods/binding", "", name, why)


def _set_scheduled(status: Object, generation: Any, now: float) -> None:
    conditions = [dict(condition) for condition in status.get("conditions") or ()]
    scheduled: Object = {"type": "PodScheduled", "status": "True"}
    scheduled["lastProbeTime"] = None
    scheduled["lastTransitionTime"] = timestamp(now)
    if generation:
        scheduled["observedGeneration"] = generation
    status["conditions"] = [c for c in conditions if c.get("type") != "PodScheduled"] + [scheduled]
