"""
Typed requests: the one way any part speaks to the API, in-process or over TLS.

A Client wraps a Handler (an API server in this process, or a pool of connections to one). Objects are plain dicts;
failures are StatusError, the very Status that the server gave.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from tiphys.api.errors import StatusError, failure
from tiphys.api.resources import Resource
from tiphys.wire.messages import Handler, Identity, Request, Response
from tiphys.wire.watch import lines

Object = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


_MANAGERS, _MANAGERS_END, _SPEC = b',"managedFields":[', b']},"spec":{', b'"spec":{'
_PARTIAL = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Listing:
    """The items of a list, with apiVersion and kind filled in, and the version of the list."""

    items: list[Object]
    resource_version: str
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK. An ERROR event is raised as StatusError instead."""

    type: str
    object: Object


class Client:
    """Requests as one identity. `identity` is for in-process handlers only; a pool brings its own credentials."""

    def __init__(self, handler: Handler, *, user_agent: str = "tiphys", identity: Identity | None = None) -> None:
        self._handler = handler
        self._identity = identity
        self._headers = {"accept": "application/json", "user-agent": user_agent}
        self._accept_list = self._accept_watch = "application/json"
        self._keeps_managers = True

    def acting_as(self, identity: Identity, user_agent: str) -> Client:
        """The same handler, spoken to as another in-process identity."""
        return Client(self._handler, user_agent=user_agent, identity=identity)

    def metadata_only(self) -> Client:
        """The same, but lists and watches give the metadata of objects alone."""
        lean = Client(self._handler, user_agent=self._headers["user-agent"], identity=self._identity)
        lean._accept_list, lean._accept_watch = _PARTIAL.format("List"), _PARTIAL.format("")
        return lean

    def without_managers(self) -> Client:
        """
        The same, but lists and watches leave out `metadata.managedFields`.

        It is half of what a small object is made of, nobody who decides reads it, and the server keeps it where an
        update does not say it.
        """
        lean = Client(self._handler, user_agent=self._headers["user-agent"], identity=self._identity)
        lean._keeps_managers = False
        return lean

    async def send(
        self, method: str, target: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> Response:
        """One raw request; answers of any status come back as they are."""
        sent = self._headers if headers is None else {**self._headers, **headers}
        return await self._handler(Request(method, target, sent, body, identity=self._identity))

    async def request(
        self, method: str, target: str, body: Object | bytes | None = None, *, media_type: str = "application/json"
    ) -> Object:
        """One request with a JSON answer; StatusError for any failure."""
        data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"content-type": media_type} if data else None
        return await _decoded(await self.send(method, target, data, headers=headers))

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        return await self.request("GET", resource.path(namespace, name))

    async def list(self, resource: Resource, namespace: str = "", **parameters: str) -> Listing:
        """`parameters` are the API's own: labelSelector, fieldSelector, limit, resourceVersion …"""
        target = _with_query(resource.path(namespace), parameters)
        answer = await _decoded(await self.send("GET", target, headers={"accept": self._accept_list}))
        meta = answer.get("metadata") or {}
        items = answer.get("items") or []
        for item in items:
            item["apiVersion"], item["kind"] = resource.api_version, resource.kind
            if not self._keeps_managers:
                item["metadata"].pop("managedFields", None)
        return Listing(items, meta.get("resourceVersion", ""), meta.get("continue", ""))

    async def create(self, resource: Resource, obj: Object, namespace: str = "", *, subresource: str = "") -> Object:
        """POST; with `subresource` the object's own name addresses it (`pods/web/binding`)."""
        where = namespace or obj.get("metadata", {}).get("namespace", "")
        name = obj["metadata"]["name"] if subresource else ""
        return await self.request("POST", resource.path(where, name, subresource), obj)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """PUT at the resourceVersion that the object carries."""
        meta = obj["metadata"]
        return await self.request("PUT", resource.path(meta.get("namespace", ""), meta["name"], subresource), obj)

    async def patch(
        self,
        resource: Resource,
        key: tuple[str, str],
        patch: Object | bytes,
        *,
        subresource: str = "",
        media_type: str = MERGE_PATCH,
    ) -> Object:
        """PATCH the object `key` (namespace, name). A resourceVersion or uid in the patch is a precondition."""
        return await self.request("PATCH", resource.path(*key, subresource), patch, media_type=media_type)

    async def delete(
        self,
        resource: Resource,
        key: tuple[str, str],
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        propagation: str = "",
    ) -> Object:
        """DELETE the object `key`; with `uid` only that very one. StatusError 404 if it is gone, 409 if another."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation:
            options["propagationPolicy"] = propagation
        return await self.request("DELETE", resource.path(*key), options)

    async def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str, **parameters: str
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, until the server ends the stream. StatusError 410: list again."""
        query = {"watch": "1", "resourceVersion": resource_version, "allowWatchBookmarks": "true", **parameters}
        target = _with_query(resource.path(namespace), query)
        response = await self.send("GET", target, headers={"accept": self._accept_watch})
        if response.status >= 400 or isinstance(response.body, bytes):
            raise _failure(response.status, await _whole(response))
        async for line in lines(response.body):
            event = orjson.loads(line) if self._keeps_managers else _without_managers(line)
            if event["type"] == "ERROR":
                raise StatusError(event["object"])
            if event["type"] != "BOOKMARK":  # metadata alone comes under another kind
                event["object"] |= {"apiVersion": resource.api_version, "kind": resource.kind}
            yield WatchEvent(event["type"], event["object"])


def _without_managers(line: bytes) -> Object:
    """
    The event of a line without managedFields: cut out where they are the last of metadata and spec follows, as our
    server prints it, which spares their decoding.

    No text can hold the quotes of the key that follows. Where a list inside of them ends that way, the cut leaves
    brackets without a partner, and the line is decoded as a whole.
    """
    start = line.find(_MANAGERS)
    end = line.find(_MANAGERS_END, start) if start >= 0 else -1
    if end >= 0 and line.find(_SPEC, 0, start) < 0:
        try:
            cut: Object = orjson.loads(line[:start] + line[end + 1 :])
            return cut
        except orjson.JSONDecodeError:
            pass
    event: Object = orjson.loads(line)
    (event["object"].get("metadata") or {}).pop("managedFields", None)
    return event


def _with_query(path: str, parameters: Mapping[str, str]) -> str:
    present = {name: value for name, value in parameters.items() if value}
    return f"{path}?{urlencode(present)}" if present else path


async def _decoded(response: Response) -> Object:
    """The JSON answer; StatusError for any failure."""
    content = await _whole(response)
    if response.status >= 400:
        raise _failure(response.status, content)
    answer: Object = orjson.loads(content) if content else {}
    return answer


async def _whole(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])


def _failure(code: int, content: bytes) -> StatusError:
    """The server's Status; a body that is none (a proxy's, a cut answer) becomes the text of one."""
    try:
        status = orjson.loads(content)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return StatusError(status)
    return failure(code if code >= 400 else 502, "Unknown", content[:500].decode("utf-8", "replace"))
