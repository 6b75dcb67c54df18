"""GET one object: the bytes the cache holds."""

from __future__ import annotations

from tiphys.api import errors
from tiphys.apiserver import answers
from tiphys.apiserver.call import Call
from tiphys.apiserver.negotiation import PLAIN, Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record
from tiphys.apiserver.registry.options import first, parse_revision
from tiphys.apiserver.routing import Route
from tiphys.wire.messages import Response


async def get(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """The object, as of now or of any revision that is not older than the one asked for."""
    if route.query:
        await _wait_for_revision(parts, first(route.query, "resourceVersion"))
    record = await current(parts, call, route)
    if form is PLAIN and not route.converts:
        return Response(200, answers.JSON_HEADERS, b"%b%b\n" % (record.head, record.tail))
    return answers.of_record(call, record, form)


async def current(parts: Parts, call: Call, route: Route) -> Record:
    """The newest record behind a route; 404 if there is none."""
    if parts.cache.revision < parts.store.revision:
        await parts.cache.caught_up()
    record = parts.cache.record(route.key)
    if record is None:
        assert call.resource is not None
        name = call.resource.name.partition("/")[0]
        raise errors.not_found(name, call.resource.group, route.name)
    return record


async def _wait_for_revision(parts: Parts, text: str) -> None:
    try:
        revision = parse_revision(text)
    except ValueError as error:
        raise errors.failure(500, "", str(error)) from None
    if revision:
        await parts.cache.not_older_than(revision)
