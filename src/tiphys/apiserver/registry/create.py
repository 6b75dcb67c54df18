"""
CREATE: decode, default, admit, prepare, validate, store.

The order is Kubernetes': field ownership is recorded on what the client sent (with defaults), admission may change it,
the strategy then drops and resets what a new object may not say, and validation sees the outcome.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from tiphys.api import convert, errors, strategy, validation
from tiphys.api.resources import Resource
from tiphys.apiserver import answers
from tiphys.apiserver.call import Attributes, Call, Object
from tiphys.apiserver.negotiation import Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record, encode, key_of, storage_of
from tiphys.apiserver.registry import body, commit, meta
from tiphys.apiserver.registry.options import WriteOptions, write_options
from tiphys.apiserver.routing import Route
from tiphys.store.door import KeyExists
from tiphys.wire.messages import Response


async def create(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """Answer a POST to a collection."""
    resource = call.resource
    assert resource is not None
    options = write_options("CreateOptions", route.query)
    obj = body.decode_object(call, resource, options)
    meta.check_namespace(resource, obj, route.namespace)
    meta.wipe(obj)
    body.own(call, None, obj, options)
    record = await create_object(parts, call, obj, options)
    return answers.of_record(call, record, form, 201)


async def create_object(parts: Parts, call: Call, obj: Object, options: WriteOptions, *, key: str = "") -> Record:
    """Store a new object whose ownership is recorded already. A generated name that is taken is drawn again."""
    resource = call.resource
    assert resource is not None
    prefix = "" if obj["metadata"].get("name") else obj["metadata"].get("generateName", "")
    # Each try changes its object, so it is kept encoded: decoding is paid for only where a name was taken.
    kept = orjson.dumps(obj) if prefix else b""
    for number in range(meta.GENERATE_TRIES_MAX if prefix else 1):
        attempt = orjson.loads(kept) if number else obj
        try:
            return await _create_once(parts, call, attempt, options, key)
        except KeyExists:
            continue
    if prefix:
        why = f"object {resource.name} already exists, the server was not able to generate a unique name for the object"
        raise errors.failure(409, "AlreadyExists", why, details={"name": prefix, "kind": resource.name})
    raise commit.taken(resource, obj["metadata"]["name"])


async def _create_once(parts: Parts, call: Call, obj: Object, options: WriteOptions, key: str) -> Record:
    resource = call.resource
    assert resource is not None
    stored = storage_of(resource)
    attributes = _attributes(call, obj, options)
    await parts.admission.mutate(attributes)
    if stored.api_version != resource.api_version:
        obj = attributes.object = convert.convert(obj, stored)
    meta.drop_repeated_owners(obj, call.warnings)
    meta.fill_new(obj, parts.now())
    reservation = parts.services.create(obj) if is_service(stored) else None
    try:
        strategy.prepare_create(stored, obj)
        refuse_invalid(resource, obj, validation.validate_create(stored, obj, requested=resource))
        call.warnings += strategy.warnings_of(stored, obj, None)
        attributes.name = obj["metadata"]["name"]
        await parts.admission.validate(attributes)
        if obj["metadata"].pop("resourceVersion", ""):
            raise errors.failure(500, "", "resourceVersion should not be set on objects to be created")
        key = key or key_of(stored, obj["metadata"].get("namespace", ""), attributes.name)
        record = await _insert(parts, stored, key, obj, dry_run=options.dry_run)
    except BaseException:
        if reservation is not None:
            reservation.release()
        raise
    if reservation is not None and options.dry_run:
        reservation.release()
    return record


async def _insert(parts: Parts, stored: Resource, key: str, obj: Object, *, dry_run: bool) -> Record:
    if not dry_run:
        return await commit.insert(parts, stored, key, obj)
    if await parts.store.get(key) is not None:
        raise KeyExists(key)
    return Record(key, encode(obj), 0)


def is_service(resource: Resource) -> bool:
    """Services alone have addresses and ports to be allocated."""
    return resource.name == "services" and not resource.group


def _attributes(call: Call, obj: Object, options: WriteOptions) -> Attributes:
    assert call.resource is not None
    metadata = obj["metadata"]
    return Attributes(
        "CREATE",
        call.resource,
        call.subresource,
        call.namespace,
        metadata.get("name", ""),
        obj,
        None,
        call.user,
        options.as_object(),
        options.dry_run,
        call.warnings,
    )


def refuse_invalid(resource: Resource, obj: Object, found: Sequence[validation.FieldError]) -> None:
    """422 if there is any field error. The message says each once; the causes repeat what Kubernetes checks twice."""
    if found:
        # The kind is named as it is stored: an Event belongs to the core group whichever path it came by.
        group = resource.kind_group or storage_of(resource).group
        raise errors.invalid(
            resource.kind,
            group,
            obj["metadata"].get("name", ""),
            list(dict.fromkeys(str(error) for error in found)),
            [error.cause for error in found],
        )
