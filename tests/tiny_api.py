"""
Just enough of an API for tests of its clients: objects in memory, list, watch, patch, graceful deletion of pods.

No schema, no validation, no admission: what is sent is what is stored. Requests are recorded as (method, path).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from tiphys.api.errors import StatusError, failure
from tiphys.wire.messages import Request, Response

Object = dict[str, Any]


@dataclass(frozen=True)
class Where:
    """A parsed path: `collection` is group, version and resource; "" for what is not named."""

    collection: str
    namespace: str
    name: str
    subresource: str


def where_of(path: str) -> Where:
    parts = path.strip("/").split("/")
    root, rest = ("/".join(parts[:2]), parts[2:]) if parts[0] == "api" else ("/".join(parts[:3]), parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    rest += ["", ""]
    return Where(f"{root}/{rest[0]}", namespace, rest[1], rest[2])


class TinyApi:
    """The Handler is the object itself. `fail` makes every request end with that Status."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.requests: list[tuple[str, str]] = []
        self.fail: StatusError | None = None
        self._watchers: dict[int, tuple[Where, dict[str, str], asyncio.Queue[bytes | None]]] = {}
        self._versions = itertools.count(1)
        self._version = "0"

    async def __call__(self, request: Request) -> Response:
        parts = urlsplit(request.target)
        self.requests.append((request.method, parts.path))
        try:
            if self.fail is not None:
                raise self.fail
            return self._answer(request, where_of(parts.path), dict(parse_qsl(parts.query)))
        except StatusError as error:
            return Response(error.code, body=orjson.dumps(error.status))

    def _answer(self, request: Request, where: Where, query: dict[str, str]) -> Response:
        body = orjson.loads(request.body) if request.body else {}
        if request.method == "GET" and not where.name:
            return Response(200, body=self._watch(where, query) if "watch" in query else self._list(where, query))
        verb = {"GET": self._get, "POST": self._create, "PUT": self._put, "PATCH": self._patch, "DELETE": self._delete}
        found = verb[request.method](where, body)
        return Response(200, body=orjson.dumps(found))

    # verbs

    def _list(self, where: Where, query: dict[str, str]) -> bytes:
        items = [obj for key, obj in self.objects.items() if self._seen(key, obj, where, query)]
        return orjson.dumps({"items": items, "metadata": {"resourceVersion": self._version}})

    async def _watch(self, where: Where, query: dict[str, str]) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        number = next(self._versions)
        self._watchers[number] = (where, query, queue)
        # What came between the list and this watch.
        for key, obj in self.objects.items():
            newer = int(obj["metadata"]["resourceVersion"]) > int(query["resourceVersion"])
            if newer and self._seen(key, obj, where, query):
                queue.put_nowait(orjson.dumps({"type": "MODIFIED", "object": obj}))
        try:
            while (line := await queue.get()) is not None:
                yield line + b"\n"
        finally:
            del self._watchers[number]

    def _get(self, where: Where, body: Object) -> Object:
        key = (where.collection, where.namespace, where.name)
        if key not in self.objects:
            raise failure(404, "NotFound", f'{where.collection.rpartition("/")[2]} "{where.name}" not found')
        return self.objects[key]

    def _create(self, where: Where, body: Object) -> Object:
        if where.subresource == "token":
            status = {"token": f"token-of-{where.name}", "expirationTimestamp": "2037-01-15T08:00:00Z"}
            return {**body, "status": status}
        key = (where.collection, where.namespace, body["metadata"]["name"])
        if key in self.objects:
            raise failure(409, "AlreadyExists", f'"{key[2]}" already exists')
        meta = {"uid": f"uid-{next(self._versions)}", **body["metadata"]}
        meta |= {"namespace": where.namespace} if where.namespace else {}
        return self._store("ADDED", key, {**body, "metadata": meta})

    def _put(self, where: Where, body: Object) -> Object:
        self._get(where, body)
        return self._store("MODIFIED", (where.collection, where.namespace, where.name), body)

    def _patch(self, where: Where, body: Object) -> Object:
        old = self._get(where, body)
        uid = body.get("metadata", {}).get("uid", old["metadata"]["uid"])
        if uid != old["metadata"]["uid"]:
            raise failure(409, "Conflict", "another object has that name")
        return self._store("MODIFIED", (where.collection, where.namespace, where.name), merged(old, body))

    def _delete(self, where: Where, body: Object) -> Object:
        old = self._get(where, body)
        if body.get("preconditions", {}).get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            raise failure(409, "Conflict", "another object has that name")
        key = (where.collection, where.namespace, where.name)
        grace = body.get("gracePeriodSeconds")
        if grace is None:
            grace = old.get("spec", {}).get("terminationGracePeriodSeconds", 30)
        if where.collection == "api/v1/pods" and grace and old["spec"].get("nodeName"):
            ending = {"deletionTimestamp": f"2027-01-15T08:00:{grace:02}Z", "deletionGracePeriodSeconds": grace}
            return self._store("MODIFIED", key, {**old, "metadata": {**old["metadata"], **ending}})
        del self.objects[key]
        self._tell("DELETED", key, self._stamped(old))
        return old

    # storing and telling

    def _store(self, kind: str, key: tuple[str, str, str], obj: Object) -> Object:
        self.objects[key] = self._stamped(obj)
        self._tell(kind, key, self.objects[key])
        return self.objects[key]

    def _stamped(self, obj: Object) -> Object:
        self._version = str(next(self._versions))
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": self._version}}

    def _tell(self, kind: str, key: tuple[str, str, str], obj: Object) -> None:
        for where, query, queue in list(self._watchers.values()):
            if self._seen(key, obj, where, query):
                queue.put_nowait(orjson.dumps({"type": kind, "object": obj}))

    def _seen(self, key: tuple[str, str, str], obj: Object, where: Where, query: dict[str, str]) -> bool:
        if key[0] != where.collection or where.namespace not in ("", key[1]):
            return False
        name, _, value = query.get("fieldSelector", "").partition("=")
        found: Any = obj
        for part in name.split(".") if name else ():
            found = found.get(part, {})
        return not name or found == value


def merged(old: Any, patch: Any) -> Any:
    """A merge patch; conditions merge by type and `$patch: replace` replaces, as in strategic ones."""
    if isinstance(patch, list):
        return [item for item in patch if item != {"$patch": "replace"}]
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif name == "conditions":
            result[name] = _conditions(result.get(name) or [], value)
        elif not name.startswith("$"):
            result[name] = merged(result.get(name), value)
    return result


def _conditions(old: list[Object], patch: list[Object]) -> list[Object]:
    known = {condition["type"]: condition for condition in old}
    for change in patch:
        if change.get("$patch") == "delete":
            known.pop(change["type"], None)
        else:
            # Kubernetes shows this field of a pod's condition also when it is null.
            shown = {"lastProbeTime": None} if "lastHeartbeatTime" not in change else {}
            known[change["type"]] = shown | merged(known.get(change["type"]), change)
    return list(known.values())
