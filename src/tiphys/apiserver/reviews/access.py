"""
SubjectAccessReview, SelfSubjectAccessReview and LocalSubjectAccessReview: may somebody do something?

Answered by the authorizer that guards requests, so a review never says anything else than what would happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tiphys.api import errors
from tiphys.api.validation.fields import FieldError, invalid, required
from tiphys.apiserver.authz.attributes import Access
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.call import Call, Object, Review
from tiphys.wire.messages import Identity

GROUP = "authorization.k8s.io"
_OPERATORS = frozenset(("In", "NotIn", "Exists", "DoesNotExist"))
_RESOURCE_FIELDS = ("namespace", "verb", "group", "version", "resource", "subresource", "name")


def reviews(authorizer: Authorizer) -> dict[tuple[str, str], Review]:
    """The reviews by (group, resource)."""

    async def subject(call: Call, obj: Object) -> Object:
        spec = obj.get("spec") or {}
        _refuse(obj, [*_attribute_errors(spec), *_user_errors(spec)])
        return _answered(authorizer, obj, _reviewed_user(spec))

    async def self_(call: Call, obj: Object) -> Object:
        _refuse(obj, _attribute_errors(obj.get("spec") or {}))
        return _answered(authorizer, obj, call.user)

    async def local(call: Call, obj: Object) -> Object:
        spec = obj.get("spec") or {}
        found = [*_attribute_errors(spec), *_user_errors(spec), *_local_errors(call, spec)]
        if spec.get("nonResourceAttributes") is not None:
            found = [invalid("spec.nonResourceAttributes", _path_value(spec), "disallowed on this kind of request")]
        _refuse(obj, found, namespace=call.namespace)
        obj["metadata"]["namespace"] = call.namespace
        return _answered(authorizer, obj, _reviewed_user(spec))

    return {
        (GROUP, "subjectaccessreviews"): subject,
        (GROUP, "selfsubjectaccessreviews"): self_,
        (GROUP, "localsubjectaccessreviews"): local,
    }


def _reviewed_user(spec: Mapping[str, Any]) -> Identity:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return Identity(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)


def _answered(authorizer: Authorizer, obj: Object, user: Identity) -> Object:
    access, problem = _access_of(obj["spec"], user)
    allowed, reason = authorizer.decide(access)
    status: Object = {"allowed": allowed}
    if reason:
        status["reason"] = reason
    if problem:
        status["evaluationError"] = problem
    obj["status"] = status
    return obj


def _access_of(spec: Mapping[str, Any], user: Identity) -> tuple[Access, str]:
    """The access that is asked about, and what of it could not be read."""
    attributes = spec.get("resourceAttributes")
    if attributes is None:
        plain = spec["nonResourceAttributes"]
        return Access(user, plain.get("verb", ""), path=plain.get("path", ""), is_resource=False), ""
    values = {field: attributes.get(field, "") for field in _RESOURCE_FIELDS}
    fields, problem = _fields_of(attributes)
    return Access(user, **values, fields=fields), problem


def _fields_of(attributes: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """What the field selector requires; a requirement that nobody knows makes the access a wider one."""
    ignored = [
        f"spec.resourceAttributes.{kind} ignored due to parse error"
        for kind in ("fieldSelector", "labelSelector")
        if any(r.get("operator") not in _OPERATORS for r in (attributes.get(kind) or {}).get("requirements") or ())
    ]
    required_fields = {
        each["key"]: each["values"][0]
        for each in (attributes.get("fieldSelector") or {}).get("requirements") or ()
        if each.get("operator") == "In" and len(each.get("values") or ()) == 1
    }
    return required_fields, ignored[0] if ignored else ""


def _attribute_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    resource, plain = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and plain is not None:
        why = "cannot be specified in combination with resourceAttributes"
        return [invalid("spec.nonResourceAttributes", _path_value(spec), why)]
    if resource is None and plain is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [invalid("spec.resourceAttributes", None, why)]
    found = []
    for kind in ("fieldSelector", "labelSelector"):
        selector = (resource or {}).get(kind)
        if selector is not None:
            found += _selector_errors(f"spec.resourceAttributes.{kind}", selector)
    return found


def _selector_errors(path: str, selector: Mapping[str, Any]) -> list[FieldError]:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements")
    if raw and requirements:
        return [invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")]
    if not raw and not requirements:
        return [required(f"{path}.requirements", "when fieldSelector is specified, requirements or rawSelector is")]
    return []


def _user_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    if spec.get("user") or spec.get("groups"):
        return []
    return [invalid("spec.user", "", "at least one of user or group must be specified")]


def _local_errors(call: Call, spec: Mapping[str, Any]) -> list[FieldError]:
    namespace = (spec.get("resourceAttributes") or {}).get("namespace", "")
    if namespace == call.namespace:
        return []
    return [invalid("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace")]


def _path_value(spec: Mapping[str, Any]) -> Object:
    """Kubernetes shows its internal type, whose fields begin with capitals."""
    plain = spec["nonResourceAttributes"]
    return {"Path": plain.get("path", ""), "Verb": plain.get("verb", "")}


def _as_printed(metadata: Object) -> Object:
    """Sets of fields are printed in the order of their names."""
    entries = metadata.get("managedFields")
    if entries is None:
        return metadata
    ordered = [{**each, "fieldsV1": _sorted(each.get("fieldsV1"))} for each in entries]
    return {**metadata, "managedFields": ordered}


def _sorted(fields: Any) -> Any:
    return orjson.loads(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS))


def _refuse(obj: Object, found: Sequence[FieldError], *, namespace: str = "") -> None:
    """422 for any field error; a review has no name and no other metadata."""
    metadata = obj["metadata"]
    allowed = {"namespace"} if namespace else set()
    problems = list(found)
    if set(metadata) - allowed - {"managedFields", "creationTimestamp"}:
        problems.append(invalid("metadata", _as_printed(metadata), "must be empty"))
    if problems:
        raise errors.invalid("", GROUP, "", [str(each) for each in problems], [each.cause for each in problems])
