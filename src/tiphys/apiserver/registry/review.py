"""Creates that store nothing: the body in, an answered object out."""

from __future__ import annotations

from tiphys.apiserver import answers
from tiphys.apiserver.call import Call
from tiphys.apiserver.negotiation import Format, unsupported
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.registry import body, meta
from tiphys.apiserver.registry.get import current
from tiphys.apiserver.registry.options import write_options
from tiphys.apiserver.routing import Route
from tiphys.wire.messages import Response


async def review(parts: Parts, call: Call, route: Route, form: Format) -> Response:
    """Answer a review (SubjectAccessReview, TokenReview, TokenRequest, …)."""
    resource = call.resource
    assert resource is not None
    options = write_options("CreateOptions", route.query)
    if call.subresource:
        await current(parts, call, route)
    if form.shown_as:
        raise unsupported()
    obj = body.decode_object(call, resource, options)
    meta.check_namespace(resource, obj, route.namespace)
    body.own(call, None, obj, options)
    answered = await parts.reviews[(resource.group, resource.name)](call, obj)
    return answers.of_object(call, answered, form, 201)
