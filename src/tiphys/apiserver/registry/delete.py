"""
DELETE: options, preconditions, finalizers, graceful deletion, and at last the removal.

An object with finalizers is only marked; the update that removes its last finalizer removes it. A pod that runs on a
node is marked with its grace period; the node's agent deletes it with a grace period of 0 when its processes are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tiphys.api import errors
from tiphys.api.objects import parse_timestamp, timestamp
from tiphys.api.resources import Resource
from tiphys.apiserver import answers
from tiphys.apiserver.call import Attributes, Call, Object
from tiphys.apiserver.negotiation import Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record, encode
from tiphys.apiserver.registry import body, commit
from tiphys.apiserver.registry.get import current
from tiphys.apiserver.registry.options import Problem, Query, dry_run_problems, first, integer, refuse
from tiphys.apiserver.routing import Route, is_true
from tiphys.wire.messages import Response

# A delete that loses this many races in a row gives up with a conflict.
RACES_MAX = 20
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
DEFAULT_GRACE_SECONDS = 30
_POLICIES = ("Foreground", "Background", "Orphan")
# These answer with the object that was deleted, all others with a Status.
_RETURNS_OBJECT = frozenset(
    (
        "pods", "services", "podtemplates", "resourcequotas", "persistentvolumes", "persistentvolumeclaims",
        "serviceaccounts", "storageclasses", "volumeattachments", "csinodes", "csidrivers", "csistoragecapacities",
        "volumeattributesclasses", "deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices",
    )
)  # fmt: skip
# Old kinds whose dependents stay unless the client says otherwise.
_ORPHANS_BY_DEFAULT = frozenset((("batch", "jobs"), ("", "replicationcontrollers")))
_PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """`grace_seconds` None is the kind's default; `policy` empty is the kind's default."""

    dry_run: bool = False
    grace_seconds: int | None = None
    policy: str = ""
    orphan_dependents: bool | None = None
    uid: str = ""
    revision: str = ""
    raw: Mapping[str, Any] | None = None


def delete_options(call: Call) -> DeleteOptions:
    """From the body if there is one, from the query otherwise, as Kubernetes reads them."""
    raw = body.decode_options(call, "DeleteOptions")
    if raw is None:
        raw = _from_query(call.query)
    elif "dryRun" in call.query:
        raw = {**raw, "dryRun": list(call.query["dryRun"])}
    preconditions = raw.get("preconditions") or {}
    options = DeleteOptions(
        dry_run=bool(raw.get("dryRun")),
        grace_seconds=raw.get("gracePeriodSeconds"),
        policy=raw.get("propagationPolicy") or "",
        orphan_dependents=raw.get("orphanDependents"),
        uid=preconditions.get("uid") or "",
        revision=preconditions.get("resourceVersion") or "",
        raw=raw,
    )
    problems = dry_run_problems(raw.get("dryRun") or ()) + _policy_problems(options)
    if problems:
        raise refuse("DeleteOptions", problems)
    is_jobs = call.resource is not None and (call.resource.group, call.resource.name) == ("batch", "jobs")
    if is_jobs and not options.policy and options.orphan_dependents is None:
        call.warnings.append(_PODS_STAY)
    return options


def _from_query(query: Query) -> Object:
    raw: Object = {}
    if "gracePeriodSeconds" in query:
        raw["gracePeriodSeconds"] = integer(query, "gracePeriodSeconds")
    if "orphanDependents" in query:
        raw["orphanDependents"] = is_true(query, "orphanDependents")
    if first(query, "propagationPolicy"):
        raw["propagationPolicy"] = first(query, "propagationPolicy")
    if "dryRun" in query:
        raw["dryRun"] = list(query["dryRun"])
    return raw


def _policy_problems(options: DeleteOptions) -> list[Problem]:
    name, policy = "propagationPolicy", options.policy
    if policy and options.orphan_dependents is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        return [Problem("FieldValueInvalid", name, f'Invalid value: "{policy}": {why}')]
    if policy and policy not in _POLICIES:
        supported = 'supported values: "Foreground", "Background", "Orphan", "nil"'
        return [Problem("FieldValueNotSupported", name, f'Unsupported value: "{policy}": {supported}')]
    return []


async def delete(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """Answer a delete."""
    assert call.resource is not None
    options = delete_options(call)
    record = await current(parts, call, route)
    last, gone = await delete_record(parts, call, record, options)
    if not gone or returns_object(call.resource):
        status = 202 if not gone and options.orphan_dependents is False else 200
        return answers.of_record(call, last, form, status)
    return answers.of_status(success(call.resource, last.object), _status_format(form))


def _status_format(form: Format) -> Format:
    return replace(form, shown_as="") if form.shown_as else form


def returns_object(resource: Resource) -> bool:
    return resource.name in _RETURNS_OBJECT


def success(resource: Resource, obj: Object) -> Object:
    """The Status that says an object is gone."""
    details: Object = {"name": obj["metadata"]["name"]}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.name
    details["uid"] = obj["metadata"].get("uid", "")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


async def delete_record(parts: Parts, call: Call, record: Record, options: DeleteOptions) -> tuple[Record, bool]:
    """Mark or remove one object: (its last state, whether it is gone). Starts again when somebody writes in between."""
    assert call.resource is not None
    resource = call.resource
    name = record.object["metadata"]["name"]
    for _ in range(RACES_MAX):
        _check_preconditions(resource, record.object, options)
        await _admit(parts, call, record, options)
        try:
            return await _step(parts, resource, record, options)
        except commit.Raced as raced:
            if raced.current is None:
                raise errors.not_found(resource.name, resource.group, name) from None
            record = raced.current
    raise commit.modified(resource, name)


async def _admit(parts: Parts, call: Call, record: Record, options: DeleteOptions) -> None:
    assert call.resource is not None
    metadata = record.object["metadata"]
    attributes = Attributes(
        "DELETE",
        call.resource,
        "",
        metadata.get("namespace", ""),
        metadata["name"],
        None,
        record.object,
        call.user,
        dict(options.raw or {}),
        options.dry_run,
        call.warnings,
    )
    await parts.admission.mutate(attributes)
    await parts.admission.validate(attributes)


def _check_preconditions(resource: Resource, obj: Object, options: DeleteOptions) -> None:
    metadata, kind = obj["metadata"], resource.kind
    if options.uid and options.uid != metadata.get("uid"):
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({metadata.get('uid')}). "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(kind, resource.group, metadata["name"], why)
    if options.revision and options.revision != metadata["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.revision}) does not match the ResourceVersion in "
            f"record ({metadata['resourceVersion']}). The object might have been modified"
        )
        raise errors.conflict(kind, resource.group, metadata["name"], why)


async def _step(parts: Parts, resource: Resource, record: Record, options: DeleteOptions) -> tuple[Record, bool]:
    marked = record.decode()
    metadata = marked["metadata"]
    is_pod = resource.name == "pods" and not resource.group
    grace = _pod_grace_seconds(marked, options) if is_pod else 0
    if is_pod and metadata.get("deletionTimestamp") and grace >= _grace_of(metadata):
        return record, False  # only a shorter grace period changes anything
    pending = _finalizers(resource, marked, options)
    if pending:
        metadata["finalizers"] = pending
    else:
        metadata.pop("finalizers", None)
    stays = bool(pending) or grace > 0 or _is_namespace_in_use(resource, marked)
    if stays or is_pod:
        _mark(parts, marked, grace)
    if stays and resource.name == "namespaces":
        marked.setdefault("status", {})["phase"] = "Terminating"
    return await _finish(parts, resource, record, marked, options, stays=stays)


async def _finish(
    parts: Parts, resource: Resource, record: Record, marked: Object, options: DeleteOptions, *, stays: bool
) -> tuple[Record, bool]:
    last = Record(record.key, encode(marked), record.revision)
    if options.dry_run:
        return last, not stays
    if stays:
        return await commit.replace(parts, resource, record, marked), False
    removed = await commit.remove(parts, record)
    return Record(record.key, encode(marked), removed.revision), True


def _is_namespace_in_use(resource: Resource, obj: Object) -> bool:
    """A namespace goes when its content is gone, which the namespace controller says by taking the finalizer out."""
    return resource.name == "namespaces" and not resource.group and bool((obj.get("spec") or {}).get("finalizers"))


def _grace_of(metadata: Object) -> int:
    return int(metadata.get("deletionGracePeriodSeconds") or 0)


def _mark(parts: Parts, obj: Object, grace: int) -> None:
    """Set the time of death; a second delete may only bring it forward."""
    metadata = obj["metadata"]
    if metadata.get("deletionTimestamp"):
        if grace < _grace_of(metadata):
            asked = parse_timestamp(metadata["deletionTimestamp"]) - _grace_of(metadata)
            metadata["deletionTimestamp"] = timestamp(asked + grace)
            metadata["deletionGracePeriodSeconds"] = grace
        return
    metadata["deletionTimestamp"] = timestamp(parts.now() + grace)
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1


def _pod_grace_seconds(obj: Object, options: DeleteOptions) -> int:
    """What the client or the pod says; a pod that never ran on a node, or that is finished, needs no grace."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    wanted = options.grace_seconds
    if metadata.get("deletionTimestamp"):
        return _grace_of(metadata) if wanted is None else max(wanted, 0)
    if wanted is None:
        wanted = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    return int(wanted) if wanted >= 0 else 1


def _finalizers(resource: Resource, obj: Object, options: DeleteOptions) -> list[str]:
    """The finalizers that remain, with those of the propagation policy put in or taken out."""
    finalizers = list(obj["metadata"].get("finalizers") or ())
    orphan, foreground = _policy(resource, finalizers, options)
    kept = [name for name in finalizers if name not in (ORPHAN, FOREGROUND)]
    if orphan:
        kept.append(ORPHAN)
    if foreground:
        kept.append(FOREGROUND)
    return kept


def _policy(resource: Resource, finalizers: list[str], options: DeleteOptions) -> tuple[bool, bool]:
    if options.orphan_dependents is not None:
        return options.orphan_dependents, False
    if options.policy:
        return options.policy == "Orphan", options.policy == "Foreground"
    if ORPHAN in finalizers or FOREGROUND in finalizers:
        return ORPHAN in finalizers, FOREGROUND in finalizers
    return (resource.group, resource.name) in _ORPHANS_BY_DEFAULT, False
