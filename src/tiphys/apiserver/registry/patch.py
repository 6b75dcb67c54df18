"""
PATCH: JSON patch, merge patch, strategic merge patch and server-side apply on the newest version of an object.

A patch is run again whenever somebody else wrote in between, so a client without a resourceVersion never sees a
conflict. What a patch may get wrong, and with which code and words that is told, follows Kubernetes to the letter,
oddities included: a JSON patch that does not apply is always the same 422, a strategic one without its key a 500.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from tiphys.api import codec, conform, errors, ownership
from tiphys.api.golike import json_name, printed
from tiphys.api.patch import json_patch, merge_patch, strategic
from tiphys.api.resources import Resource
from tiphys.api.strict import Repeated, findings
from tiphys.apiserver import answers
from tiphys.apiserver.call import Call, Object
from tiphys.apiserver.negotiation import Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.registry import body, meta
from tiphys.apiserver.registry.options import Problem, WriteOptions, refuse, write_options
from tiphys.apiserver.registry.quoting import (
    in_document_order,
    opened_by_merge,
    opened_by_operations,
    quote,
)
from tiphys.apiserver.registry.update import Intent, change
from tiphys.apiserver.routing import Route
from tiphys.wire.messages import Response

JSON_PATCH, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
OPERATIONS_MAX = 10_000
_OPERATION_FIELDS = frozenset(("op", "path", "from", "value"))


async def patch(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """Answer a PATCH."""
    resource = call.resource
    assert resource is not None
    options = patch_options(call)
    patcher = Patcher(call, resource, options)

    async def produce(old: Object | None) -> Object:
        new = patcher.patched(old)
        meta.check_namespace(resource, new, route.namespace)
        meta.check_name(new, route.name)
        if not patcher.applies:
            body.own(call, old, new, options)
        return new

    applies = patcher.applies
    creates = applies and not call.subresource
    record, status = await change(parts, call, route, Intent(produce, options, creates=creates, applies=applies))
    return answers.of_record(call, record, form, status)


def patch_options(call: Call) -> WriteOptions:
    """The options of a patch; what is allowed depends on its type."""
    media_type = media_type_of(call)
    options = write_options("PatchOptions", call.query)
    problems = []
    if media_type == APPLY and not options.field_manager:
        problems.append(Problem("FieldValueRequired", "fieldManager", "Required value: is required for apply patch"))
    if media_type != APPLY and options.force is not None:
        problems.append(Problem("FieldValueForbidden", "force", "Forbidden: may not be specified for non-apply patch"))
    if problems:
        raise refuse("PatchOptions", problems)
    return options


def media_type_of(call: Call) -> str:
    """415 unless it is one of the four."""
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in (JSON_PATCH, MERGE, STRATEGIC, APPLY):
        text = "415: Unsupported Media Type"
        raise errors.failure(415, "UnsupportedMediaType", text, details={})
    return media_type


class Patcher:
    """One decoded patch, to be run on one or more versions of an object of `resource`."""

    def __init__(self, call: Call, resource: Resource, options: WriteOptions) -> None:
        self.resource = resource
        self._call = call
        self._options = options
        self._media_type = media_type_of(call)
        self.applies = self._media_type == APPLY
        self._run: Callable[[Object], Object] = {
            JSON_PATCH: self._json,
            MERGE: self._merge,
            STRATEGIC: self._strategic,
        }.get(self._media_type, self._apply)

    def patched(self, old: Object | None) -> Object:
        """The object after the patch, typed and defaulted. `old` is not changed."""
        return self._run(body.copy_of(old) if old is not None else {})

    def _json(self, old: Object) -> Object:
        operations, strict = _operations(self._call.request.body)
        if len(operations) > OPERATIONS_MAX:
            text = f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(operations)}"
            raise errors.too_large(text)
        try:
            patched = json_patch.apply(old, operations)
        except json_patch.PatchError:
            text = "the server rejected our request due to an error in our request"
            raise errors.failure(422, "Invalid", text, details={}) from None
        message = body.message_of(self.resource)
        opened = opened_by_operations(operations)
        ordered = functools.partial(in_document_order, patched, message, opened)
        return self._typed(patched, strict, ordered, shown_as=lambda: quote(patched, message, opened))

    def _merge(self, old: Object) -> Object:
        parsed = self._decoded()
        patched = merge_patch.apply(old, parsed.object)
        message = body.message_of(self.resource)
        opened = opened_by_merge(parsed.object)
        ordered = functools.partial(in_document_order, patched, message, opened)
        return self._typed(patched, parsed.duplicates, ordered, shown_as=lambda: quote(patched, message, opened))

    def _strategic(self, old: Object) -> Object:
        parsed = self._decoded("")
        message = body.message_of(self.resource)
        try:
            patched = strategic.apply(old, parsed.object, message)
        except strategic.PatchError as error:
            raise errors.failure(error.code, "BadRequest" if error.code == 400 else "", str(error)) from None
        ordered = functools.partial(_by_name, patched)
        return self._typed(patched, parsed.duplicates, ordered, shown_as=lambda: printed(parsed.object))

    def _decoded(self, prefix: str = "error decoding patch: ") -> codec.Parsed:
        try:
            parsed = codec.parse_json(self._call.request.body)
        except codec.CodecError as error:
            raise errors.bad_request(f"{prefix}{error.reason}") from None
        if not isinstance(parsed.object, dict):
            why = f"json: cannot unmarshal {json_name(parsed.object)} into Go value of type map[string]interface {{}}"
            raise errors.bad_request(f"{prefix}{why}")
        return parsed

    def _apply(self, old: Object) -> Object:
        config = self._configuration()
        message = body.message_of(self.resource)
        writer = body.writer_of(self._call, self.resource, self._options)
        try:
            merged = ownership.apply_after_client_side(
                old or None, config, message, writer, force=bool(self._options.force)
            )
        except ownership.ApplyError as error:
            raise errors.failure(500, "", f"failed to create typed patch object ({_named(config)}): {error}") from None
        except ownership.ApplyConflict as conflict:
            raise _apply_conflict(conflict) from None
        try:
            conformed = conform.conform(merged, message)
        except conform.ConformError as error:
            raise errors.failure(500, "", f"failed to convert new object ({_named(config)}): {error}") from None
        return body.finished(self.resource, conformed.object)

    def _configuration(self) -> Object:
        """The applied configuration, of the version of the path; repeated keys are told, or refused."""
        try:
            parsed = codec.parse_yaml(self._call.request.body)
        except codec.CodecError as error:
            raise errors.bad_request(f"error decoding YAML: error converting YAML to JSON: {error.reason}") from None
        config = parsed.object if parsed.object is not None else {}
        if not isinstance(config, dict):
            why = f"json: cannot unmarshal {json_name(config)} into Go value of type map[string]interface {{}}"
            raise errors.bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {why}")
        said = config.get("apiVersion") or "", config.get("kind") or ""
        if said != (body.body_version(self.resource), self.resource.kind):
            raise errors.bad_request(f"invalid object type: {_type_shown(*said)}")
        if (config.get("metadata") or {}).get("managedFields") is not None:
            raise errors.bad_request("metadata.managedFields must be nil")
        if parsed.duplicates and self._options.field_validation == "Strict":
            found = codec.strict_yaml(parsed.duplicates)
            raise errors.bad_request(f"error strict decoding YAML: error converting YAML to JSON: {found}")
        if parsed.duplicates and self._options.field_validation == "Warn":
            self._call.warnings.append(codec.strict_yaml(parsed.duplicates))
        return config

    def _typed(
        self,
        patched: Object,
        duplicates: Sequence[str],
        ordered: Callable[[], Object],
        *,
        shown_as: Callable[[], str],
    ) -> Object:
        """The patched document as the schema has it; 422 with the document itself if it does not fit."""
        try:
            conformed = conform.conform(patched, body.message_of(self.resource))
        except conform.ConformError as error:
            raise _unfit(shown_as(), str(error)) from None
        # What is unknown is told in the order in which Go meets it.
        unknown = findings(ordered(), body.message_of(self.resource)) if conformed.strict else []
        found = [*duplicates, *unknown]
        if found and self._options.field_validation == "Strict":
            raise _unfit(shown_as(), f"strict decoding error: {', '.join(found)}")
        if self._options.field_validation == "Warn":
            self._call.warnings += found
        return body.finished(self.resource, conformed.object)


def _operations(sent: bytes) -> tuple[list[Any], list[str]]:
    """The operations of a JSON patch, and what a strict reader finds wrong with how they are written."""
    try:
        operations = codec.parse_json(sent).object
    except codec.CodecError as error:
        raise errors.bad_request(f"error decoding patch: {error.reason}") from None
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        what = json_name(operations)
        why = f"json: cannot unmarshal {what} into Go value of type []handlers.jsonPatchOp"
        raise errors.bad_request(f"error decoding patch: {why}")
    strict: dict[str, None] = {}
    for index, operation in enumerate(operations):
        seen: set[str] = set()
        for name, _ in operation.pairs if isinstance(operation, Repeated) else operation.items():
            if name in seen:
                strict[f'json patch duplicate field "[{index}].{name}"'] = None
            elif name not in _OPERATION_FIELDS:
                strict[f'json patch unknown field "[{index}].{name}"'] = None
            seen.add(name)
    return operations, list(strict)


def _named(config: Object) -> str:
    """`namespace/name; group/version, Kind=Kind`, as the configuration itself says it."""
    metadata = config.get("metadata") or {}
    shown = _type_shown(str(config.get("apiVersion") or ""), str(config.get("kind") or ""))
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {shown}"


def _type_shown(api_version: str, kind: str) -> str:
    """`/v1, Kind=Pod`, `apps/v1, Kind=Deployment`"""
    group, _, version = api_version.rpartition("/")
    return f"{group}/{version}, Kind={kind}"


def _apply_conflict(conflict: ownership.ApplyConflict) -> errors.StatusError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in conflict.conflicts
    ]
    return errors.failure(409, "Conflict", str(conflict), details={"causes": causes})


def _by_name(document: Object) -> Object:
    """The same with all keys sorted."""
    ordered: Object = orjson.loads(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    return ordered


def _unfit(shown: str, why: str) -> errors.StatusError:
    text = f"Invalid value: {orjson.dumps(shown).decode()}: {why}"
    cause = {"reason": "FieldValueInvalid", "message": text, "field": "patch"}
    return errors.invalid("", "", "", [f"patch: {text}"], [cause])
