"""From a Call to the verb that answers it: the table of verbs, and who answers which subresource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tiphys.api import errors
from tiphys.apiserver.call import Call
from tiphys.apiserver.negotiation import Format, negotiate, refusal
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.registry.create import create
from tiphys.apiserver.registry.delete import delete
from tiphys.apiserver.registry.deletecollection import deletecollection
from tiphys.apiserver.registry.get import get
from tiphys.apiserver.registry.list import list_
from tiphys.apiserver.registry.patch import patch
from tiphys.apiserver.registry.review import review
from tiphys.apiserver.registry.update import update
from tiphys.apiserver.registry.watch import watch
from tiphys.apiserver.routing import Route
from tiphys.wire.messages import Response

Verb = Callable[[Parts, Call, Route, Format], Awaitable[Response]]

VERBS: Mapping[str, Verb] = {
    "get": get,
    "list": list_,
    "watch": watch,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": deletecollection,
}
# Resources that are served and should be used no more: every answer on them says so.
_DEPRECATED: Mapping[tuple[str, str], str] = {
    ("", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ("", "componentstatuses"): "v1 ComponentStatus is deprecated in v1.19+",
}
_WRITES = frozenset(("create", "update", "patch", "delete", "deletecollection"))


class Dispatcher:
    """
    `special` are the (group, resource/subresource, verb) that have an answer of their own; every other subresource is
    an object seen through the generic verbs.
    """

    def __init__(self, parts: Parts, special: Mapping[tuple[str, str, str], Verb]) -> None:
        self._parts = parts
        self._special = special

    async def dispatch(self, call: Call, route: Route) -> Response:
        """Answer a call on a resource."""
        resource = call.resource
        assert resource is not None
        if call.verb not in resource.verbs or call.request.method == "HEAD" or _is_misdirected(call, route):
            text = "the server does not allow this method on the requested resource"
            raise errors.failure(405, "MethodNotAllowed", text, details={})
        deprecation = _DEPRECATED.get((resource.group, resource.name))
        if deprecation is not None:
            call.warnings.append(deprecation)
        accept = call.request.headers.get("accept", "")
        form = negotiate(accept)
        if form is None:
            raise refusal(accept)
        if "%" in route.name:
            raise errors.bad_request(f"Name parameter invalid: \"{route.name}\": may not contain '%'")
        if call.verb in _WRITES and self._parts.cache.revision < self._parts.store.revision:
            # Admission looks at the cache: it must see what the writer of this request has written before.
            await self._parts.cache.caught_up()
        special = self._special.get((resource.group, resource.name, call.verb)) if self._special else None
        if special is not None:
            return await special(self._parts, call, route, form)
        if (resource.group, resource.name) in self._parts.reviews:
            return await review(self._parts, call, route, form)
        return await VERBS[call.verb](self._parts, call, route, form)


def _is_misdirected(call: Call, route: Route) -> bool:
    """Objects are created in collections, and changed by name; namespaced ones are created in a namespace."""
    if route.subresource:
        return False
    if call.verb in ("create", "deletecollection"):
        resource = call.resource
        return bool(route.name) or (resource is not None and resource.namespaced and not route.namespace)
    return call.verb in ("update", "patch", "delete") and not route.name
