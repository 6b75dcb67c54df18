"""DELETE of a collection: what a list would show, deleted one by one."""

from __future__ import annotations

from tiphys.api import errors
from tiphys.apiserver import answers
from tiphys.apiserver.call import Call
from tiphys.apiserver.negotiation import Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record
from tiphys.apiserver.registry.delete import delete_options, delete_record
from tiphys.apiserver.registry.list import listing
from tiphys.apiserver.registry.options import list_options
from tiphys.apiserver.routing import Route
from tiphys.wire.messages import Response


async def deletecollection(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """Delete everything that the selectors match; the answer is the list of it as it was."""
    assert call.resource is not None
    wanted = list_options(call.resource, route.query)
    options = delete_options(call)
    found = await listing(parts, call, route, wanted)
    deleted: list[Record] = []
    for record in found.records:
        try:
            await delete_record(parts, call, record, options)
        except errors.StatusError as error:
            if error.code == 404:
                continue  # somebody else was faster
            raise
        deleted.append(record)
    return answers.of_list(call, deleted, found.metadata, form)
