"""
WATCH: changes from a revision on, with or without the initial state.

What the stream starts with depends on resourceVersion and sendInitialEvents as in Kubernetes: nothing or "0" give the
present objects as ADDED first, a number gives the changes after it, sendInitialEvents ends the initial part with a
bookmark. A version that is no longer covered is told as an ERROR event with 410 Expired.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import orjson

from tiphys.api import errors
from tiphys.apiserver import answers
from tiphys.apiserver.cache import Collection, node_scope
from tiphys.apiserver.call import Call, Object
from tiphys.apiserver.negotiation import JSON, TABLE, YAML, Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record, storage_of
from tiphys.apiserver.registry.options import ListOptions, list_options
from tiphys.apiserver.routing import Route
from tiphys.apiserver.watchers import ADDED, Change, Sink, View, Watcher, bookmark_frame, error_frame, plain
from tiphys.wire.messages import Response

# Kubernetes ends a watch that named no timeout after 30 to 60 minutes; clients resume.
DEFAULT_TIMEOUT_SECONDS = 1800
WATCHES_MAX = 50_000
_HEADERS = (("content-type", JSON), ("cache-control", "no-cache, private"))


async def watch(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """Answer a watch with a stream of lines."""
    resource = call.resource
    assert resource is not None
    options = list_options(resource, route.query, watch=True)
    if form.media_type == YAML:
        raise errors.failure(406, "NotAcceptable", f"only the following media types are accepted: {JSON};stream=watch")
    cache = parts.cache
    if cache.watcher_count >= WATCHES_MAX:
        raise errors.too_many_requests("too many watches, please try again later.", 1)
    await cache.caught_up()
    if options.revision > cache.revision:
        await cache.not_older_than(options.revision)
    collection = cache.collection(resource)
    view = view_of(call, form)
    if 0 < options.revision < collection.since and not options.send_initial_events:
        return Response(200, _HEADERS, _only(error_frame(_too_old(options.revision, collection.since))))
    watcher = Watcher(view, options.selects, bookmarks=options.bookmarks)
    watcher.revision = cache.revision
    # No await from here to the return: nothing may change between the initial state and the first offer.
    initial = list(_initial(collection, route.key, options, watcher, cache.revision))
    by_node = options.node_name and route.key == collection.prefix
    collection.watch(node_scope(options.node_name) if by_node else route.key, watcher)
    watcher.end_after(options.timeout_seconds or DEFAULT_TIMEOUT_SECONDS)
    return Response(200, _HEADERS, _Body(watcher, initial))


class _Body:
    """The stream of one watcher. Closing it, even before it was read, takes the watcher out of the cache."""

    def __init__(self, watcher: Watcher, initial: Iterable[Callable[[], bytes]]) -> None:
        self._watcher = watcher
        self._stream = watcher.stream(make() for make in initial)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def attach(self, sink: Sink) -> None:
        """See wire's Response: changes may go straight to the connection."""
        self._watcher.attach(sink)

    async def __anext__(self) -> bytes:
        return await anext(self._stream)

    async def aclose(self) -> None:
        # Wakes a stream that waits in another task, which then ends by itself.
        self._watcher.close()


async def _only(frame: bytes) -> AsyncIterator[bytes]:
    yield frame


def _too_old(revision: int, oldest: int) -> errors.StatusError:
    return errors.expired(f"too old resource version: {revision} ({oldest})")


def _initial(
    collection: Collection, scope: str, options: ListOptions, watcher: Watcher, revision: int
) -> Iterator[Callable[[], bytes]]:
    """What the stream starts with, as functions so that frames are made while they are sent."""
    wants_state = options.send_initial_events or (options.send_initial_events is None and options.revision == 0)
    if wants_state:
        low, high = collection.span(scope)
        for record in _in_scope(collection.records[low:high], scope):
            if options.selects is None or options.selects(record):
                yield _framed(watcher.view, record)
        if options.send_initial_events and options.bookmarks:
            yield lambda: watcher.view.bookmark(revision, initial_events_end=True)
    elif options.revision:
        yield from _missed(collection, scope, options.revision, watcher)


def _in_scope(records: Iterable[Record], scope: str) -> Iterator[Record]:
    """A scope that is one key spans also keys that it is a prefix of."""
    return (record for record in records if scope.endswith("/") or record.key == scope)


def _framed(view: View, record: Record) -> Callable[[], bytes]:
    return lambda: view.frame(ADDED, record)


def _missed(collection: Collection, scope: str, revision: int, watcher: Watcher) -> Iterator[Callable[[], bytes]]:
    for change in collection.changes_after(revision):
        key = change.record.key
        if key == scope or (scope.endswith("/") and key.startswith(scope)):
            kind = watcher.kind_of(change)
            if kind:
                yield _change_frame(change, kind, watcher.view)


def _change_frame(change: Change, kind: str, view: View) -> Callable[[], bytes]:
    return lambda: change.frame(kind, view)


def view_of(call: Call, form: Format) -> View:
    """How this watcher sees objects: stored bytes, another version, a table or metadata alone."""
    resource = call.resource
    assert resource is not None
    stored = storage_of(resource)
    if not form.shown_as and (stored.group, stored.version) == (resource.group, resource.version):
        return plain(resource.kind, resource.api_version)
    return Shown(call, form)


class Shown:
    """Every form but the stored JSON: decoded, converted and encoded for this watcher."""

    shared = False

    def __init__(self, call: Call, form: Format) -> None:
        assert call.resource is not None
        self._call = call
        self._resource = call.resource
        self._form = form
        self._columns_sent = False

    def frame(self, kind: str, record: Record) -> bytes:
        obj = answers.seen(record, self._resource, self._form)
        return orjson.dumps({"type": kind, "object": self._document(obj)}) + b"\n"

    def _document(self, obj: Object) -> Object:
        if self._form.shown_as == TABLE:
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            table = answers.table(self._call, [obj], self._form, metadata)
            if self._columns_sent:
                table["columnDefinitions"] = None  # told once, with the first row
            self._columns_sent = True
            return table
        return answers.partial(obj, self._form) if self._form.shown_as else obj

    def bookmark(self, revision: int, *, initial_events_end: bool) -> bytes:
        kind, version = self._form.shown_as or self._resource.kind, self._resource.api_version
        if self._form.shown_as:
            version = self._form.api_version
        if kind == answers.PARTIAL_LIST:
            kind = answers.PARTIAL
        return bookmark_frame(kind, version, revision, initial_events_end=initial_events_end)
