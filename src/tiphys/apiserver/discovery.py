"""
Discovery: what is served, as kubectl and client-go ask for it.

Two forms. The legacy one walks /api, /apis, /apis/GROUP and a list of resources for each version; the aggregated one
gives everything of /api or /apis in one document, to those who name it in Accept, with an ETag. Both are views of the
same resource records. Documents are made when they are first asked for and kept while the same resources are served.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from tiphys.api.resources import Resource
from tiphys.apiserver import answers, negotiation, pages
from tiphys.apiserver.call import Call, Object
from tiphys.apiserver.negotiation import JSON, PLAIN, Format
from tiphys.apiserver.pages import Served, groups_of
from tiphys.apiserver.records import storage_of
from tiphys.wire.messages import Response

AGGREGATED = "APIGroupDiscoveryList"
_AGGREGATED_GROUP = "apidiscovery.k8s.io"
_AGGREGATED_VERSIONS = ("v2", "v2beta1")


class Discovery:
    """The page of /api and /apis and all that lies one or two steps below."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._made_of: Sequence[Resource] = ()
        self._documents: dict[str, Object] = {}
        self._aggregated: dict[tuple[str, str], tuple[bytes, str]] = {}

    async def page(self, call: Call) -> Response | None:
        path = call.path.rstrip("/") if len(call.path) > 1 else call.path
        if not path.startswith(("/api", "/apis")):
            return None
        self._refresh()
        version = _aggregated_version(call.request.headers.get("accept", ""))
        if path in ("/api", "/apis") and version:
            return self._aggregate(call, path, version)
        document = self._documents.get(path)
        if document is None:
            return None
        return answers.encoded(document, _format(call, path))

    def _refresh(self) -> None:
        """Resources come and go as a whole, so that comparing by identity is enough."""
        served = self._served()
        if served is not self._made_of:
            self._made_of = served
            self._documents = _legacy(served)
            self._aggregated = {}

    def _aggregate(self, call: Call, path: str, version: str) -> Response:
        if (path, version) not in self._aggregated:
            body = orjson.dumps(aggregated(self._made_of, version, core=path == "/api")) + b"\n"
            self._aggregated[path, version] = body, pages.etag_of(body)
        body, etag = self._aggregated[path, version]
        media_type = f"{JSON};g={_AGGREGATED_GROUP};v={version};as={AGGREGATED}"
        headers = (("content-type", media_type), ("etag", etag), ("vary", "Accept"), ("cache-control", "public"))
        return pages.unchanged(call, etag) or Response(200, headers, body)


def _format(call: Call, path: str) -> Format:
    """
    The format of a legacy document. /apis and the groups below it take every method and refuse in the words of the
    second stage of negotiation; lists of resources take GET only and refuse in those of the first.
    """
    accept = call.request.headers.get("accept", "")
    lists_resources = path.count("/") == 3 or path.startswith("/api/") or path == "/api"
    if lists_resources:
        pages.only_get(call)
    form = negotiation.negotiate(accept)
    if form is not None:
        return form if not form.shown_as else PLAIN
    raise negotiation.refusal(accept) if lists_resources else negotiation.unsupported()


def _aggregated_version(accept: str) -> str:
    """The version of aggregated discovery that a client likes best; empty if none is asked for before plain JSON."""
    for clause in accept.split(","):
        parts = [part.strip() for part in clause.split(";")]
        if parts[0] == JSON and f"as={AGGREGATED}" in parts and f"g={_AGGREGATED_GROUP}" in parts:
            version = next((part[2:] for part in parts if part.startswith("v=")), "")
            if version in _AGGREGATED_VERSIONS:
                return version
    return ""


# the legacy form


def _legacy(served: Sequence[Resource]) -> dict[str, Object]:
    """Every legacy document by its path."""
    documents: dict[str, Object] = {}
    groups = groups_of(served)
    for group, versions in groups.items():
        for version, listed in versions.items():
            documents[listed[0].root] = _resource_list(group, version, listed)
    named = {group: _group(group, list(versions)) for group, versions in groups.items() if group}
    documents["/api"] = {"kind": "APIVersions", "versions": list(groups.get("", {})), **_addresses()}
    documents["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(named.values())}
    for group, document in named.items():
        documents[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **document}
    return documents


def _addresses() -> Object:
    """Clients reach us where they reached us: nothing else is promised to any network."""
    return {"serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]}


def _group(group: str, versions: Sequence[str]) -> Object:
    named = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": named, "preferredVersion": named[0]}


def _resource_list(group: str, version: str, listed: Sequence[Resource]) -> Object:
    document: Object = {"kind": "APIResourceList"}
    if group:  # the core group's own list never carried one
        document["apiVersion"] = "v1"
    document["groupVersion"] = f"{group}/{version}" if group else version
    document["resources"] = [_resource(resource) for resource in listed]
    return document


def _resource(resource: Resource) -> Object:
    entry: Object = {
        "name": resource.name,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.kind_group:
        entry = {**entry, "group": resource.kind_group, "version": "v1"}
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "/" not in resource.name and "watch" in resource.verbs:
        entry["storageVersionHash"] = storage_version_hash(resource)
    return entry


def storage_version_hash(resource: Resource) -> str:
    """Kubernetes' fingerprint of the version that a kind is stored in; migrators compare it."""
    stored = storage_of(resource)
    digest = hashlib.sha256(f"{stored.group}/{stored.version}/{stored.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


# the aggregated form


def aggregated(served: Sequence[Resource], version: str, *, core: bool) -> Object:
    """One document for the core group, or for all others."""
    items = [
        {"metadata": {"name": group, "creationTimestamp": None}, "versions": _versions(versions)}
        for group, versions in groups_of(served).items()
        if (group == "") == core
    ]
    if core:
        items[0]["metadata"] = {"creationTimestamp": None}
    return {"kind": AGGREGATED, "apiVersion": f"{_AGGREGATED_GROUP}/{version}", "metadata": {}, "items": items}


def _versions(versions: dict[str, list[Resource]]) -> list[Object]:
    return [
        {"version": version, "resources": _aggregated_resources(listed), "freshness": "Current"}
        for version, listed in versions.items()
    ]


def _aggregated_resources(listed: Sequence[Resource]) -> list[Object]:
    """Subresources lie inside their resource; one without a resource of its own name gets an empty one around it."""
    entries: dict[str, Object] = {}
    for resource in listed:
        name, _, subresource = resource.name.partition("/")
        if not subresource:
            entries[name] = _aggregated_resource(resource)
            continue
        parent = entries.setdefault(name, {"resource": name, "responseKind": _kind(resource), "verbs": None})
        inner = {"subresource": subresource, "responseKind": _kind(resource), "verbs": list(resource.verbs)}
        parent.setdefault("subresources", []).append(inner)
    return list(entries.values())


def _aggregated_resource(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.name,
        "responseKind": _kind(resource),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _kind(resource: Resource) -> dict[str, Any]:
    if resource.kind_group:
        return {"group": resource.kind_group, "version": "v1", "kind": resource.kind}
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}
