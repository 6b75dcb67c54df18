"""
Make Responses from records, objects and Status, in the format that was negotiated.

The plain JSON of a stored version is sent as the cache holds it; every other form decodes a copy and encodes again.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import orjson

from tiphys.api import convert, errors
from tiphys.api.resources import Resource
from tiphys.apiserver.bodies import Bodies, Question, joined
from tiphys.apiserver.call import Call, Object
from tiphys.apiserver.negotiation import JSON, PLAIN, TABLE, YAML, Format
from tiphys.apiserver.records import Record, storage_of
from tiphys.apiserver.yaml_writer import to_yaml
from tiphys.wire.messages import Response

JSON_HEADERS = (("content-type", JSON), ("cache-control", "no-cache, private"))
YAML_HEADERS = (("content-type", YAML), ("cache-control", "no-cache, private"))
PARTIAL, PARTIAL_LIST = "PartialObjectMetadata", "PartialObjectMetadataList"


def shown(record: Record, resource: Resource) -> Object:
    """The decoded object in the version that was asked for; a private copy."""
    stored = storage_of(resource)
    obj = record.decode()
    return obj if _same_version(stored, resource) else convert.convert(obj, resource)


def seen(record: Record, resource: Resource, form: Format) -> Object:
    """What an answer is made of: tables and metadata show the version that is stored, as Kubernetes' do."""
    return record.decode() if form.shown_as else shown(record, resource)


def _same_version(stored: Resource, resource: Resource) -> bool:
    return stored.group == resource.group and stored.version == resource.version


def encoded(document: object, form: Format) -> Response:
    """A document in the negotiated media type, 200."""
    if form.media_type == YAML:
        return Response(200, YAML_HEADERS, to_yaml(document))
    options = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if form.pretty else 0)
    return Response(200, JSON_HEADERS, orjson.dumps(document, option=options))


def of_record(call: Call, record: Record, form: Format, status: int = 200) -> Response:
    """One object from its bytes."""
    assert call.resource is not None
    if form is PLAIN and record.revision and _same_version(storage_of(call.resource), call.resource):
        return Response(status, JSON_HEADERS, b"%b%b\n" % (record.head, record.tail))
    obj = seen(record, call.resource, form)
    if not record.revision:  # a dry run that would have created it
        obj["metadata"].pop("resourceVersion", None)
    return of_object(call, obj, form, status)


def of_object(call: Call, obj: Object, form: Format, status: int = 200) -> Response:
    """One object, or its table, or its metadata alone."""
    assert call.resource is not None
    if form.shown_as == TABLE:
        document = table(call, [obj], form, {"resourceVersion": obj["metadata"].get("resourceVersion", "")})
    elif form.shown_as == PARTIAL:
        document = partial(obj, form)
    elif form.shown_as == PARTIAL_LIST:
        raise mismatch(f"you requested {PARTIAL_LIST}, but the requested object is not a list", call.resource, "")
    else:
        document = obj
    response = encoded(document, form)
    response.status = status
    return response


def table(call: Call, objects: Sequence[Object], form: Format, metadata: Object) -> Object:
    """The Table of some objects; `metadata` is the list's."""
    from tiphys.apiserver import tables

    assert call.resource is not None
    include = call.parameter("includeObject")
    if include not in ("", "Metadata", "Object", "None"):
        text = f"Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
        raise errors.bad_request(f"Unable to convert to Table as requested: includeObject: {text}")
    rendered: Object = tables.render(call.resource, objects, include or "Metadata", api_version=form.api_version)
    kept = {name: value for name, value in metadata.items() if value}
    return {**rendered, "kind": TABLE, "apiVersion": form.api_version, "metadata": kept}


def partial(obj: Object, form: Format) -> Object:
    from tiphys.apiserver.tables.render import internal_metadata

    return {"kind": PARTIAL, "apiVersion": form.api_version, "metadata": internal_metadata(obj)}


def mismatch(text: str, resource: Resource, suffix: str) -> errors.StatusError:
    """406 for metadata of a list where there is an object, and the other way round."""
    return errors.failure(406, "NotAcceptable", f"{text} (*{internal_name(resource)}{suffix})")


def internal_name(resource: Resource) -> str:
    """`core.ConfigMap`: how Kubernetes names its internal types in texts."""
    group = storage_of(resource).group
    return f"{group.partition('.')[0] or 'core'}.{resource.kind}"


@functools.lru_cache(maxsize=1024)
def _list_head(resource: Resource) -> bytes:
    return b'{"kind":"%bList","apiVersion":"%b","metadata":' % (resource.kind.encode(), resource.api_version.encode())


def of_list(call: Call, records: Sequence[Record], metadata: Object, form: Format) -> Response:
    """A list of records: their bytes joined, or decoded for every other form."""
    resource = call.resource
    assert resource is not None
    if form is PLAIN and _same_version(storage_of(resource), resource):
        return Response(200, JSON_HEADERS, joined(_list_head(resource) + orjson.dumps(metadata), records))
    return of_objects(call, [seen(record, resource, form) for record in records], metadata, form)


def kept_list(call: Call, bodies: Bodies, question: Question, records: Sequence[Record], metadata: Object) -> Response:
    """`of_list` in plain JSON of the stored version, from memory if it was answered before."""
    assert call.resource is not None
    head = _list_head(call.resource) + orjson.dumps(metadata)
    return Response(200, JSON_HEADERS, bodies.body(question, head, records))


def of_objects(call: Call, objects: Sequence[Object], metadata: Object, form: Format) -> Response:
    """A list of decoded objects."""
    resource = call.resource
    assert resource is not None
    if form.shown_as == TABLE:
        return encoded(table(call, objects, form, metadata), form)
    if form.shown_as == PARTIAL:
        raise mismatch(f"you requested {PARTIAL}, but the requested object is a list", resource, "List")
    if form.shown_as == PARTIAL_LIST:
        items = [partial(obj, form) for obj in objects] or None
        document: Object = {"kind": PARTIAL_LIST, "apiVersion": form.api_version, "metadata": metadata, "items": items}
        return encoded(document, form)
    bare = [{name: value for name, value in obj.items() if name not in ("kind", "apiVersion")} for obj in objects]
    kind = f"{resource.kind}List"
    return encoded({"kind": kind, "apiVersion": resource.api_version, "metadata": metadata, "items": bare}, form)


def of_status(status: Object, form: Format = PLAIN) -> Response:
    """A Status with its code as the answer's code."""
    code = int(status.get("code", 200))
    response = encoded(status, form)
    response.status = code
    retry = (status.get("details") or {}).get("retryAfterSeconds")
    if retry:
        response.headers = (*response.headers, ("retry-after", str(retry)))
    return response
