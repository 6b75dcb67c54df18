"""
Change one object: what PUT, every kind of PATCH and the object subresources share.

`change` runs a function on the newest version and writes the outcome with compare-and-set, again if somebody else wrote
in between. An outcome equal to what is stored writes nothing and keeps the resourceVersion. The write that takes the
last finalizer off a marked object removes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tiphys.api import convert, errors, strategy, validation
from tiphys.api.resources import Resource
from tiphys.apiserver import answers
from tiphys.apiserver.call import Attributes, Call, Object
from tiphys.apiserver.negotiation import Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record, encode, storage_of
from tiphys.apiserver.registry import body, commit, meta
from tiphys.apiserver.registry.create import create_object, is_service, refuse_invalid
from tiphys.apiserver.registry.options import Problem, WriteOptions, write_options
from tiphys.apiserver.registry.rules import creates_on_update, needs_revision
from tiphys.apiserver.routing import Route
from tiphys.wire.messages import Response

# A change without a resourceVersion that loses this many races in a row gives up.
RACES_MAX = 30

# The old object in the version of the request (a private copy; None: there is none) to the new one.
Produce = Callable[[Object | None], Awaitable[Object]]


@dataclass(frozen=True, slots=True)
class Intent:
    """`produce` makes the new object; `creates` a missing one; if it `applies`, the uid is validation's matter."""

    produce: Produce
    options: WriteOptions
    creates: bool = False
    applies: bool = False


async def update(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """Answer a PUT."""
    resource = call.resource
    assert resource is not None
    options = write_options("UpdateOptions", route.query)
    sent = body.decode_object(call, resource, options)
    meta.check_name(sent, route.name)
    meta.check_namespace(resource, sent, route.namespace)

    async def produce(old: Object | None) -> Object:
        new = body.copy_of(sent)
        body.own(call, old, new, options)
        return new

    creates = not call.subresource and creates_on_update(resource)
    record, status = await change(parts, call, route, Intent(produce, options, creates))
    return answers.of_record(call, record, form, status)


async def change(parts: Parts, call: Call, route: Route, intent: Intent) -> tuple[Record, int]:
    """The changed (or created) record and 200 (or 201)."""
    resource = call.resource
    assert resource is not None
    await parts.cache.caught_up()
    record = parts.cache.record(route.key)
    for _ in range(RACES_MAX):
        if record is None:
            return await _create(parts, call, route, intent), 201
        try:
            return await _attempt(parts, call, record, intent), 200
        except commit.Raced as raced:
            record = raced.current
    raise commit.modified(resource, route.name)


async def _create(parts: Parts, call: Call, route: Route, intent: Intent) -> Record:
    resource = call.resource
    assert resource is not None
    if not intent.creates:
        raise errors.not_found(resource.name.partition("/")[0], resource.group, route.name)
    new = await intent.produce(None)
    if new["metadata"].get("uid") and intent.applies:
        uid = new["metadata"]["uid"]
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise errors.conflict(resource.name, resource.group, route.name, why)
    new["metadata"].pop("resourceVersion", None)
    return await create_object(parts, call, new, intent.options, key=route.key)


async def _attempt(parts: Parts, call: Call, record: Record, intent: Intent) -> Record:
    resource = call.resource
    assert resource is not None
    stored = storage_of(resource)
    old = record.decode()
    converts = stored.api_version != resource.api_version
    new = await intent.produce(convert.convert(old, resource) if converts else body.copy_of(old))
    if converts:
        new = convert.convert(new, stored)
    _check_identity(resource, record, new, old, applies=intent.applies)
    new["metadata"].pop("resourceVersion", None)
    attributes = _attributes(call, new, old, intent.options)
    await parts.admission.mutate(attributes)
    meta.drop_repeated_owners(new, call.warnings)
    meta.fill_updated(new, old)
    reservation = parts.services.update(new, old) if is_service(resource) else None
    try:
        strategy.prepare_update(stored, new, old, call.subresource)
        refuse_invalid(
            resource, new, validation.validate_update(stored, new, old, call.subresource, requested=resource)
        )
        if not call.subresource:
            call.warnings += strategy.warnings_of(stored, new, old)
        await parts.admission.validate(attributes)
        written = await _write(parts, stored, record, new, intent.options)
    except BaseException:
        if reservation is not None:
            reservation.release()
        raise
    if reservation is not None and intent.options.dry_run:
        reservation.release()
    return written


def _attributes(call: Call, new: Object, old: Object, options: WriteOptions) -> Attributes:
    assert call.resource is not None
    return Attributes(
        "UPDATE",
        call.resource,
        call.subresource,
        call.namespace,
        call.name,
        new,
        old,
        call.user,
        options.as_object(),
        options.dry_run,
        call.warnings,
    )


def _check_identity(resource: Resource, record: Record, new: Object, old: Object, *, applies: bool) -> None:
    """The same object, and the version that the client has seen if it says one."""
    metadata, plural = new["metadata"], resource.name.partition("/")[0]
    name = old["metadata"]["name"]
    uid = metadata.get("uid")
    if uid and uid != old["metadata"]["uid"] and not applies:
        why = (
            f"StorageError: invalid object, Code: 4, Key: {record.key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
        )
        raise errors.conflict(plural, resource.group, name, why)
    said = metadata.get("resourceVersion", "")
    if said and not said.isdigit():
        raise errors.failure(500, "", f'strconv.ParseUint: parsing "{said}": invalid syntax')
    if not said and needs_revision(resource):
        problem = Problem(
            "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update"
        )
        causes = [{"reason": problem.reason, "message": problem.text, "field": problem.field}]
        raise errors.invalid(plural, resource.group, name, [f"{problem.field}: {problem.text}"], causes)
    if said and int(said) and int(said) != record.revision:
        raise commit.modified(resource, name)


async def _write(parts: Parts, stored: Resource, record: Record, new: Object, options: WriteOptions) -> Record:
    if options.dry_run:
        plain = encode(new)
        return record if commit.is_same(record, plain) else Record(record.key, plain, record.revision)
    if not _goes(stored, record.object, new):
        return await commit.replace(parts, stored, record, new)
    removed = await commit.remove(parts, record)
    return Record(record.key, encode(new), removed.revision)


def _goes(stored: Resource, old: Object, new: Object) -> bool:
    """Whether an update removes the object: it was marked, its grace is over, and nothing holds it any more."""
    before = old["metadata"]
    if not before.get("deletionTimestamp") or before.get("deletionGracePeriodSeconds"):
        return False
    held_by_content = stored.name == "namespaces" and (new.get("spec") or {}).get("finalizers")
    return not new["metadata"].get("finalizers") and not held_by_content
