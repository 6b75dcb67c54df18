"""
The way of every request: audit, authenticate, impersonate, authorize, limit, dispatch.

Each stage is a part that was given; this file only puts them in order and makes sure that whatever happens, the client
gets a Status and never a traceback.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import errors
from tiphys.apiserver import answers, negotiation
from tiphys.apiserver.call import Auditor, Authenticator, Authorizer, Call, Impersonator, Page
from tiphys.apiserver.dispatch import Dispatcher
from tiphys.apiserver.gate import Gate
from tiphys.apiserver.routing import Route, Router
from tiphys.observe import metrics
from tiphys.wire.messages import Request, Response

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 3 * 1024 * 1024
# Requests that run at once (Kubernetes' own defaults), and how many of each may wait for their turn before they are
# sent away.
# Watches and streams are not counted here.
READS_IN_FLIGHT_MAX, WRITES_IN_FLIGHT_MAX = 400, 200
WAITING_MAX = 4000
# Characters of all warnings together before each is clipped, and of a clipped one; Kubernetes' own.
WARNINGS_LENGTH_MAX, WARNING_LENGTH_MAX = 4096, 256
_READS = frozenset(("get", "list"))
_LONG = frozenset(("watch", "proxy"))
_STREAMED = frozenset(("log", "exec", "attach", "portforward", "proxy"))

requests_total = metrics.counter("apiserver_request_total", "Requests answered.", ("verb", "resource", "code"))
request_seconds = metrics.histogram("apiserver_request_duration_seconds", "Time to answer.", ("verb", "resource"))


@dataclass(frozen=True, slots=True)
class Guards:
    """Who may speak. A part that is None lets everything pass, as in-process tests want it."""

    authenticator: Authenticator | None = None
    impersonator: Impersonator | None = None
    authorizer: Authorizer | None = None
    auditor: Auditor | None = None


class Chain:
    """The API server's Handler."""

    def __init__(self, router: Router, dispatcher: Dispatcher, guards: Guards, pages: Sequence[Page]) -> None:
        self._router = router
        self._dispatcher = dispatcher
        self._guards = guards
        self._pages = tuple(pages)
        self._meters: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._reads = Gate(READS_IN_FLIGHT_MAX, WAITING_MAX)
        self._writes = Gate(WRITES_IN_FLIGHT_MAX, WAITING_MAX)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        started = time.perf_counter()
        call, route = self._router.call(request)
        try:
            response = await self._guarded(call, route)
        except errors.StatusError as error:
            response = answers.of_status(error.status, negotiation.of_error(request.headers.get("accept", "")))
        except Exception as error:
            response = answers.of_status(_unexpected(call, error).status)
        if call.warnings:
            response.headers = (*response.headers, *_warning_headers(call.warnings))
        self._account(call, response.status, time.perf_counter() - started)
        return response

    async def _guarded(self, call: Call, route: Route) -> Response:
        guards, request = self._guards, call.request
        if request.identity is not None:
            call.user = request.identity
        elif guards.authenticator is not None:
            call.user = await guards.authenticator.authenticate(request)
        if guards.impersonator is not None:
            acting = await guards.impersonator.impersonate(call)
            if acting is not call.user:
                call.impersonator, call.user = call.user, acting
        if guards.authorizer is not None:
            await guards.authorizer.authorize(call)
        if len(request.body) > BODY_BYTES_MAX:
            raise errors.too_large(f"Request entity is too large: limit is {BODY_BYTES_MAX}")
        if route.resource is None:
            return await self._page(call, route)
        if call.verb == "watch" or call.subresource in _STREAMED:
            return await self._dispatcher.dispatch(call, route)
        return await self._limited(call, route)

    async def _limited(self, call: Call, route: Route) -> Response:
        gate = self._reads if call.verb in _READS else self._writes
        if not gate.enter_at_once() and not await gate.enter():
            raise errors.too_many_requests("too many requests, please try again later.", 1)
        try:
            return await self._dispatcher.dispatch(call, route)
        finally:
            gate.leave()

    async def _page(self, call: Call, route: Route) -> Response:
        for page in self._pages:
            response = await page(call)
            if response is not None:
                return response
        if route.known:
            raise errors.failure(404, "NotFound", "the server could not find the requested resource", details={})
        return Response(404, (("content-type", "text/plain; charset=utf-8"),), b"404 page not found\n")

    def _account(self, call: Call, status: int, seconds: float) -> None:
        resource = call.resource.name if call.resource is not None else ""
        counter, histogram = self._meters.get((call.verb, resource, status)) or self._meter(call.verb, resource, status)
        counter.inc()
        if call.verb != "watch":
            histogram.observe(seconds)
        if self._guards.auditor is not None:
            self._guards.auditor.record(call, status, seconds)

    def _meter(self, verb: str, resource: str, status: int) -> tuple[Any, Any]:
        """Labels are looked up once: methods, resources and codes are few."""
        pair = requests_total.labels(verb, resource, str(status)), request_seconds.labels(verb, resource)
        self._meters[(verb, resource, status)] = pair
        return pair


def _unexpected(call: Call, error: Exception) -> errors.StatusError:
    """
    A fault of ours, or a body that is too deep.

    What is deep in an unknown field is dropped and does no harm; what is kept is walked by many steps, and patches can
    go on where the stored object ends. Instead of a limit in each of them, whoever sends what one cannot follow gets
    a 400.
    """
    deep = isinstance(error, RecursionError) or (isinstance(error, TypeError) and "Recursion" in str(error))
    if deep and call.request.body:
        return errors.bad_request("exceeded max depth")
    log.error("%s %s failed", call.request.method, call.path, exc_info=error)
    return errors.internal(f"{type(error).__name__}: {error}")


def _warning_headers(warnings: Sequence[str]) -> list[tuple[str, str]]:
    """Each once, in order, as RFC 7234 wants them; many are cut as Kubernetes cuts them."""
    unique = list(dict.fromkeys(warnings))
    if sum(map(len, unique)) > WARNINGS_LENGTH_MAX:
        clipped = [text[:WARNING_LENGTH_MAX] for text in unique]
        ends = itertools.accumulate(map(len, clipped))
        unique = [text for text, end in zip(clipped, ends, strict=True) if end <= WARNINGS_LENGTH_MAX]
    return [("warning", f'299 - "{_quoted(text)}"') for text in unique]


def _quoted(text: str) -> str:
    printable = "".join(character if character >= " " else " " for character in text)
    escaped = printable.replace("\\", "\\\\").replace('"', '\\"')
    # Headers travel as Latin-1; this way the bytes on the wire are UTF-8.
    return escaped.encode().decode("latin-1")
