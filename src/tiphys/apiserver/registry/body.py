"""
From the bytes of a request to an object that the verbs can trust: typed, defaulted, in the version of the path.

What a body may get wrong, and how Kubernetes words it, is decided here for all verbs; the parsing itself is `api/codec`
and the typing `api/conform`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import orjson

from tiphys.api import codec, conform, convert, defaults, errors, ownership, resources, schema
from tiphys.api.objects import timestamp
from tiphys.api.resources import Resource
from tiphys.apiserver.answers import internal_name
from tiphys.apiserver.call import Call, Object
from tiphys.apiserver.negotiation import JSON, PROTOBUF, YAML
from tiphys.apiserver.records import storage_of
from tiphys.apiserver.registry.options import WriteOptions

_ACCEPTED = f"{JSON}, {YAML}, {PROTOBUF}"
_MEDIA_TYPES = frozenset((JSON, YAML, PROTOBUF))
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_META_SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"
MANAGER_DEFAULT = "unknown"
# Versions that are served no more but still known, so that a body in them is told the version and not the kind.
_RETIRED = {
    "extensions/v1beta1": ("Deployment", "DaemonSet", "ReplicaSet", "Ingress", "NetworkPolicy", "Scale"),
    "apps/v1beta1": ("Deployment", "StatefulSet", "ControllerRevision", "Scale"),
    "apps/v1beta2": ("Deployment", "DaemonSet", "ReplicaSet", "StatefulSet", "ControllerRevision", "Scale"),
    "batch/v1beta1": ("CronJob",),
    "policy/v1beta1": ("PodDisruptionBudget", "Eviction"),
    "autoscaling/v2beta1": ("HorizontalPodAutoscaler",),
    "autoscaling/v2beta2": ("HorizontalPodAutoscaler",),
    "networking.k8s.io/v1beta1": ("Ingress", "IngressClass", "IPAddress", "ServiceCIDR"),
    "discovery.k8s.io/v1beta1": ("EndpointSlice",),
    "events.k8s.io/v1beta1": ("Event",),
    "coordination.k8s.io/v1beta1": ("Lease",),
    "storage.k8s.io/v1beta1": ("StorageClass", "CSIDriver", "CSINode", "VolumeAttachment", "CSIStorageCapacity"),
    "rbac.authorization.k8s.io/v1beta1": ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    "scheduling.k8s.io/v1beta1": ("PriorityClass",),
    "node.k8s.io/v1beta1": ("RuntimeClass",),
    "certificates.k8s.io/v1beta1": ("CertificateSigningRequest",),
}


def body_version(resource: Resource) -> str:
    """The apiVersion of the objects that a path takes: a Scale is autoscaling/v1 wherever it is."""
    return f"{resource.kind_group}/v1" if resource.kind_group else resource.api_version


@functools.lru_cache(maxsize=1024)
def message_of(resource: Resource) -> schema.Message:
    """The schema of the objects that a path takes."""
    group, _, version = body_version(resource).rpartition("/")
    message = schema.message_of(group, version, resource.kind)
    if message is None:
        raise errors.internal(f"no schema for {body_version(resource)} {resource.kind}")
    return message


def media_type_of(call: Call) -> str:
    """The bare media type of the body; JSON if it is not said; 415 for one that is not served."""
    said = call.request.headers.get("content-type", "")
    media_type = said.partition(";")[0].strip().lower() if said else JSON
    if media_type not in _MEDIA_TYPES:
        text = f"the body of the request was in an unknown format - accepted media types include: {_ACCEPTED}"
        raise errors.failure(415, "UnsupportedMediaType", text)
    return media_type


def decode_object(call: Call, resource: Resource, options: WriteOptions, *, versions: Sequence[str] = ()) -> Object:
    """The body as an object of the path's kind and version, with defaults. `versions` may say more than one version."""
    media_type = media_type_of(call)
    try:
        parsed = codec.parse(call.request.body, media_type)
    except codec.CodecError as error:
        text = f"the object provided is unrecognized (must be of type {resource.kind}): {error} ({error.summary})"
        raise errors.bad_request(text) from None
    _check_kind(resource, parsed.object, versions or (body_version(resource),), call.request.body)
    return typed(call, resource, parsed, options)


def typed(call: Call, resource: Resource, parsed: codec.Parsed, options: WriteOptions) -> Object:
    """A parsed object as the schema has it, with defaults; 400 with Go's words if it does not fit."""
    version = body_version(resource).rpartition("/")[2]
    prefix = f'{resource.kind} in version "{version}" cannot be handled as a {resource.kind}'
    try:
        conformed = conform.conform(parsed.object, message_of(resource), repeated=parsed.repeated)
    except conform.ConformError as error:
        raise errors.bad_request(f"{prefix}: {error}") from None
    strict = conformed.strict
    if parsed.media_type == YAML and parsed.duplicates:
        strict = [codec.strict_yaml(parsed.duplicates), *strict]
    report_strict(call, options, strict, prefix)
    return finished(resource, conformed.object)


def finished(resource: Resource, obj: Object) -> Object:
    """Kind, version and defaults on a typed object."""
    obj["kind"], obj["apiVersion"] = resource.kind, body_version(resource)
    obj.setdefault("metadata", {})
    defaults.set_defaults(resource, obj)
    stored = storage_of(resource)
    if stored.api_version != obj["apiVersion"] and stored.kind == resource.kind:
        # What a version cannot say does not survive; Kubernetes reads every body into its one internal version.
        obj = convert.convert(convert.convert(obj, stored), resource)
    return obj


def report_strict(call: Call, options: WriteOptions, found: Sequence[str], prefix: str) -> None:
    """Unknown and duplicate fields: refused, warned of or let pass."""
    if not found or options.field_validation == "Ignore":
        return
    if options.field_validation == "Strict":
        raise errors.bad_request(f"{prefix}: strict decoding error: {', '.join(found)}")
    call.warnings += found


def _check_kind(resource: Resource, raw: Object, versions: Sequence[str], sent: bytes) -> None:
    said_kind, said_version = raw.get("kind") or resource.kind, raw.get("apiVersion") or versions[0]
    if not isinstance(said_kind, str) or not isinstance(said_version, str):
        return
    if said_kind == resource.kind and said_version in versions:
        return
    if said_version.count("/") > 1:
        text = f"unexpected GroupVersion string: {said_version} ({codec.summary_of(sent)})"
        raise errors.bad_request(f"the object provided is unrecognized (must be of type {resource.kind}): {text}")
    version = said_version.rpartition("/")[2]
    prefix = f'{said_kind} in version "{version}" cannot be handled as a {resource.kind}'
    known = resources.of_kind(said_version, said_kind)
    if known is None and said_kind not in _RETIRED.get(said_version, ()):
        raise errors.bad_request(
            f'{prefix}: no kind "{said_kind}" is registered for version "{said_version}" in scheme "{_SCHEME}"'
        )
    if said_kind == resource.kind and (known is None or storage_of(known) == storage_of(resource)):
        expected = body_version(resource)
        text = f"the API version in the data ({said_version}) does not match the expected API version ({expected})"
        raise errors.bad_request(text)
    if said_kind == resource.kind and said_version in versions:
        return
    wanted = f"{resource.kind_group or ''}".partition(".")[0]
    internal = f"{wanted}.{resource.kind}" if wanted else internal_name(resource)
    raise errors.bad_request(f"{prefix}: converting ({version}.{said_kind}) to ({internal}): unknown conversion")


def decode_options(call: Call, kind: str) -> Object | None:
    """A small options record as the body (DeleteOptions); None if there is none."""
    if not call.request.body:
        return None
    media_type = media_type_of(call)
    try:
        raw = codec.parse(call.request.body, media_type).object
    except codec.CodecError as error:
        raise errors.bad_request(str(error)) from None
    said_kind, said_version = raw.get("kind") or kind, raw.get("apiVersion") or "v1"
    if said_kind != kind:
        text = f'no kind "{said_kind}" is registered for version "{said_version}" in scheme "{_META_SCHEME}"'
        raise errors.bad_request(text)
    try:
        return conform.conform(raw, schema.message(f"meta.v1.{kind}")).object
    except conform.ConformError as error:
        raise errors.bad_request(str(error)) from None


def copy_of(obj: Object) -> Object:
    """A deep private copy of a JSON object."""
    try:
        copied: Object = orjson.loads(orjson.dumps(obj))
    except TypeError:
        raise errors.bad_request("the object is nested too deeply to be stored") from None
    return copied


def manager_of(call: Call, options: WriteOptions) -> str:
    """Who writes: the fieldManager parameter, or the program that the User-Agent names."""
    if options.field_manager:
        return options.field_manager
    agent = call.request.headers.get("user-agent", "")
    return agent.partition("/")[0][:128] or MANAGER_DEFAULT


def writer_of(call: Call, resource: Resource, options: WriteOptions, api_version: str = "") -> ownership.Writer:
    """Who writes what through the path of a call; in the path's version if no other is said."""
    name, _, subresource = resource.name.partition("/")
    return ownership.Writer(
        manager_of(call, options),
        api_version or resource.api_version,
        timestamp(time.time()),
        subresource,
        ownership.reset_fields(resource.group, name, subresource),
    )


def own(call: Call, old: Object | None, new: Object, options: WriteOptions) -> None:
    """Record in `new` that its writer owns what differs from `old`."""
    assert call.resource is not None
    writer = writer_of(call, call.resource, options, body_version(call.resource))
    ownership.record_update(old, new, message_of(call.resource), writer)
