"""
The page of /openapi/v2 and /openapi/v3.

Making a document costs a tenth of a second or more and megabytes, so it is made when somebody asks, in a thread, and
kept compressed: kubectl asks for `gzip` anyway. Before, only its hash is known, from the package and the resources.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import hashlib
from collections.abc import Callable, Sequence
from importlib import resources as package_files

import orjson

from tiphys import __version__
from tiphys.api.resources import Resource
from tiphys.apiserver import negotiation, pages
from tiphys.apiserver.call import Call
from tiphys.apiserver.negotiation import JSON
from tiphys.apiserver.pages import Served, groups_of
from tiphys.wire.messages import Response

# Clients ask with an @, which no media type may have: their own parser refuses it in an answer.
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ROOT = "/openapi/v3"
# Nobody waits for the last percent: level 5 is three times as fast as 9.
_LEVEL = 5
_FOR_EVER = "public, max-age=31536000, immutable"


class OpenApi:
    """Serves the documents of `served()`; they are made anew when other resources are served."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._made_of: Sequence[Resource] = ()
        self._kept: dict[str, bytes] = {}
        self._making = asyncio.Lock()

    async def page(self, call: Call) -> Response | None:
        if not call.path.startswith("/openapi/"):
            return None
        path = call.path.rstrip("/")
        if self._served() is not self._made_of:
            self._made_of, self._kept = self._served(), {}
        if path == "/openapi/v2":
            return await self._v2(call)
        if path == _ROOT:
            pages.only_get(call)
            return self._index(call)
        listed = self._by_path().get(path)
        return await self._v3(call, path, listed) if listed is not None else None

    def _by_path(self) -> dict[str, list[Resource]]:
        groups = groups_of(self._made_of).values()
        return {f"/openapi/v3{listed[0].root}": listed for versions in groups for listed in versions.values()}

    def _index(self, call: Call) -> Response:
        """Where the documents are; the hash in the address lets clients keep them for ever."""
        _accepts(call, JSON)
        places = {
            path[len(_ROOT) + 1 :]: {"serverRelativeURL": f"{path}?hash={hash_of(path, listed)}"}
            for path, listed in self._by_path().items()
        }
        body = orjson.dumps({"paths": places})
        etag = pages.etag_of(body)
        return pages.unchanged(call, etag) or Response(200, (("content-type", JSON), ("etag", etag)), body)

    async def _v3(self, call: Call, path: str, listed: list[Resource]) -> Response:
        pages.only_get(call)
        _accepts(call, JSON)
        digest = hash_of(path, listed)
        asked = call.parameter("hash")
        if asked and asked != digest:
            return Response(301, (("location", f"{path}?hash={digest}"),))
        packed = await self._packed(path, functools.partial(_make_v3, listed))
        caching = (("cache-control", _FOR_EVER),) if asked else ()
        return _packed_response(call, packed, JSON, f'"{digest}"', caching)

    async def _v2(self, call: Call) -> Response:
        pages.only_get(call)
        media_type = _accepts(call, V2_PROTOBUF, JSON)
        digest = hash_of(media_type, self._made_of)
        make = _make_v2_protobuf if media_type == V2_PROTOBUF else _make_v2
        packed = await self._packed(media_type, functools.partial(make, self._made_of))
        return _packed_response(call, packed, media_type, f'"{digest}"', (("vary", "Accept"),))

    async def _packed(self, key: str, make: Callable[[], bytes]) -> bytes:
        """From memory, or made once however many ask."""
        async with self._making:
            if key not in self._kept:
                self._kept[key] = await asyncio.to_thread(make)
            return self._kept[key]


def hash_of(what: str, listed: Sequence[Resource]) -> str:
    """Changes when the document does: with the package, or with the resources."""
    told = repr((what, _definitions_digest(), __version__, listed))
    return hashlib.sha512(told.encode()).hexdigest().upper()


@functools.cache
def _definitions_digest() -> str:
    packed = package_files.files("tiphys.api").joinpath("data/definitions.json.xz").read_bytes()
    return hashlib.sha256(packed).hexdigest()


def _accepts(call: Call, *offered: str) -> str:
    """The first of the offered media types that the client takes; 406 if there is none."""
    accept = call.request.headers.get("accept", "") or "*/*"
    for clause in accept.split(","):
        media_type = clause.partition(";")[0].strip().replace("@", ".")
        if media_type in offered:
            return media_type
        if media_type in ("*/*", "application/*"):
            return offered[-1]
    raise negotiation.not_acceptable(", ".join(offered))


def _packed_response(
    call: Call, packed: bytes, media_type: str, etag: str, more: Sequence[tuple[str, str]]
) -> Response:
    unchanged = pages.unchanged(call, etag)
    if unchanged is not None:
        return unchanged
    headers: list[tuple[str, str]] = [("content-type", media_type), ("etag", etag), *more]
    if "gzip" in call.request.headers.get("accept-encoding", ""):
        return Response(200, (*headers, ("content-encoding", "gzip")), packed)
    return Response(200, headers, gzip.decompress(packed))


def _make_v2(served: Sequence[Resource]) -> bytes:
    from tiphys.apiserver.openapi import documents

    return _pack(orjson.dumps(documents.v2(served)))


def _make_v2_protobuf(served: Sequence[Resource]) -> bytes:
    from tiphys.apiserver.openapi import documents, protobuf

    return _pack(protobuf.encode(documents.v2(served)))


def _make_v3(listed: Sequence[Resource]) -> bytes:
    from tiphys.apiserver.openapi import documents

    return _pack(orjson.dumps(documents.v3(listed)))


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
