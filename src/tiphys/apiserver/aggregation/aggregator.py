"""
Groups that other servers answer: requests go on to them, and their resources are found in discovery.

An APIService that names a Service says so. Its server is told who asks by headers, which it believes because we show a
certificate of the front proxy's authority. Whether it can be reached is looked at when something of it changes, and
twice a minute while there is any; its condition `Available` tells.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from tiphys.api import errors
from tiphys.api.objects import condition_of, timestamp
from tiphys.api.resources import Resource
from tiphys.api.resources import get as resource_of
from tiphys.apiserver.aggregation.services import (
    SERVICE_NAME,
    Backend,
    Unavailable,
    backend,
    group_version,
    is_foreign,
    resources_of,
)
from tiphys.apiserver.authn.bearers import without_token
from tiphys.apiserver.boot import SELF
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.call import Call
from tiphys.apiserver.records import prefix_of
from tiphys.apiserver.watchers import Change
from tiphys.wire.messages import Handler, Identity, Request, Response
from tiphys.wire.relay import relay

log = logging.getLogger(__name__)

Object = dict[str, Any]
GroupVersion = tuple[str, str]
# How a server is reached, over TLS with the front proxy's certificate.
Dial = Callable[[Backend], Handler]

TRUST = {"namespace": "kube-system", "name": "extension-apiserver-authentication"}
_CONFIG_MAPS = resource_of("", "v1", "configmaps")
API_SERVICES = resource_of("apiregistration.k8s.io", "v1", "apiservices")
# One that does not answer is asked again sooner, and then ever more seldom.
RETRY_SECONDS, LOOK_SECONDS = 1.0, 30.0
ANSWER_SECONDS_MAX = 5.0
# Changes that come together are looked at together.
GATHER_SECONDS = 0.05
_API_SERVICES = prefix_of(API_SERVICES)
_PLACES = tuple(
    prefix_of(resource_of(*one)) for one in (("", "v1", "services"), ("discovery.k8s.io", "v1", "endpointslices"))
)
_OWN_HEADERS = frozenset(("authorization", "host", "content-length", "transfer-encoding"))
_OWN_PREFIXES = ("impersonate-", "x-remote-")
_OF_ONE_CONNECTION = frozenset(("connection", "content-length", "date", "keep-alive", "transfer-encoding"))


class Aggregator:
    """
    `page` answers foreign groups, `foreign` says which they are, `resources` what is known to be in them. `trust` is
    what servers read to know us by: the data of the ConfigMap `extension-apiserver-authentication`.
    """

    def __init__(
        self, cache: Cache, dial: Dial, trust: Mapping[str, str], now: Callable[[], float] = time.time
    ) -> None:
        self._cache = cache
        self._dial = dial
        self._trust = trust
        self._now = now
        self._known: dict[GroupVersion, tuple[Resource, ...]] = {}
        self._foreign: dict[GroupVersion, Object] = {}
        self._woken = asyncio.Event()
        # Called when what is served here, or by others, is another.
        self.listeners: list[Callable[[], None]] = []
        cache.listeners.append(self._follow)

    def foreign(self, group: str, version: str) -> bool:
        """Whether another server answers this group and version."""
        return (group, version) in self._foreign

    def resources(self) -> Sequence[Resource]:
        """Those of all foreign groups that have been discovered."""
        return [resource for listed in self._known.values() for resource in listed]

    def load(self) -> None:
        """Read which groups are foreign; for the start, before anything is followed."""
        listed = self._cache.list(API_SERVICES.group, API_SERVICES.name)
        found = {group_version(service): dict(service) for service in listed if is_foreign(service)}
        if found.keys() != self._foreign.keys():
            self._known = {place: listed for place, listed in self._known.items() if place in found}
            self._foreign = found
            self._changed()
        self._foreign = found

    def _changed(self) -> None:
        for listener in self.listeners:
            listener()

    async def boot(self, handler: Handler) -> None:
        """Write down whom other servers are to believe."""
        held = self._cache.get("", "configmaps", TRUST["namespace"], TRUST["name"])
        if held is not None and held.get("data") == self._trust:
            return
        path = _CONFIG_MAPS.path(TRUST["namespace"], TRUST["name"] if held is not None else "")
        body = {"metadata": TRUST, "data": self._trust}
        await _send(handler, "PUT" if held is not None else "POST", path, body)

    async def run(self, handler: Handler) -> None:
        """Look at foreign servers until cancelled; `handler` takes what is told of them."""
        self.load()
        self._woken.set()
        pause = RETRY_SECONDS
        while True:
            try:
                async with asyncio.timeout(pause if self._foreign else None):
                    await self._woken.wait()
                pause = RETRY_SECONDS
            except TimeoutError:
                pause = min(pause * 2, LOOK_SECONDS)
            await asyncio.sleep(GATHER_SECONDS)
            self._woken.clear()
            self.load()
            async with asyncio.TaskGroup() as group:
                looks = [group.create_task(self._look(service, handler)) for service in self._foreign.values()]
            if all(look.result() for look in looks):
                pause = LOOK_SECONDS

    async def page(self, call: Call) -> Response | None:
        """What the server of a foreign group answers."""
        place = _place_of(call.path)
        service = self._foreign.get(place) if place is not None else None
        if service is None:
            return None
        try:
            server = self._dial(self._backend(service))
            return await _relayed(server, _passed_on(call))
        except Unavailable as error:
            log.info("%s cannot be answered: %s", call.path, error)
            raise errors.unavailable("service unavailable") from None
        except OSError as error:
            raise errors.unavailable(f"error trying to reach service: {error}") from None

    def _follow(self, change: Change) -> None:
        key = change.record.key
        if key.startswith(_API_SERVICES):
            # Routes must follow at once, also where nobody waits for a look.
            self.load()
            self._woken.set()
        elif self._foreign and any(key.startswith(p) and self._is_about(key.removeprefix(p)) for p in _PLACES):
            self._woken.set()

    def _is_about(self, place: str) -> bool:
        """Whether a Service or a slice (whose name begins with the Service's) is one of a foreign server."""
        namespace, _, name = place.partition("/")
        references = [service["spec"]["service"] for service in self._foreign.values()]
        return any(namespace == one["namespace"] and name.startswith(one["name"]) for one in references)

    def _backend(self, service: Mapping[str, Any]) -> Backend:
        spec = service["spec"]
        reference = spec["service"]
        namespace, name = reference["namespace"], reference["name"]
        slices = [
            piece
            for piece in self._cache.list("discovery.k8s.io", "endpointslices", namespace)
            if (piece["metadata"].get("labels") or {}).get(SERVICE_NAME) == name
        ]
        vouching = base64.b64decode(spec["caBundle"]) if spec.get("caBundle") else b""
        authorities = None if spec.get("insecureSkipTLSVerify") else vouching
        return backend(service, self._cache.get("", "services", namespace, name), slices, authorities)

    async def _look(self, service: Object, handler: Handler) -> bool:
        """Ask a server what it serves, and tell how that went: whether it answers."""
        place = group_version(service)
        try:
            await self._discover(service, place)
            told = ("True", "Passed", "all checks passed")
        except Unavailable as error:
            told = ("False", error.reason, str(error))
        await self._tell(service["metadata"]["name"], told, handler)
        return told[0] == "True"

    async def _discover(self, service: Object, place: GroupVersion) -> None:
        target = f"/apis/{place[0]}/{place[1]}"
        server = self._backend(service)
        url = f"https://{server.host}:{server.port}{target}"
        headers = {"accept": "application/json", "x-remote-user": "system:kube-aggregator"}
        more = [("x-remote-group", "system:masters")]
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                answer = await self._dial(server)(Request("GET", target, headers, more_headers=more))
                body = answer.body
                content = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
            listed = orjson.loads(content) if answer.status == 200 else None
        except (OSError, TimeoutError, ValueError) as error:
            text = f"failing or missing response from {url}: {error}"
            raise Unavailable("FailedDiscoveryCheck", text) from None
        if listed is None:
            text = f"failing or missing response from {url}: bad status from {url}: {answer.status}"
            raise Unavailable("FailedDiscoveryCheck", text)
        found = resources_of(listed, *place)
        if place in self._foreign and found != self._known.get(place):
            self._known[place] = found
            self._changed()

    async def _tell(self, name: str, told: tuple[str, str, str], handler: Handler) -> None:
        service = self._cache.get(API_SERVICES.group, API_SERVICES.name, "", name)
        if service is None or not is_foreign(service):
            return
        status, reason, message = told
        held = condition_of(service, "Available")
        if held is not None and (held["status"], held.get("reason"), held.get("message")) == told:
            return
        since = held["lastTransitionTime"] if held and held["status"] == status else timestamp(self._now())
        condition = {
            "type": "Available", "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
        }  # fmt: skip
        path = API_SERVICES.path("", name, "status")
        await _send(handler, "PUT", path, {**service, "status": {"conditions": [condition]}})


async def _send(handler: Handler, method: str, path: str, obj: Object) -> None:
    headers = {"content-type": "application/json", "user-agent": "kube-apiserver"}
    response = await handler(Request(method, path, headers, orjson.dumps(obj), identity=SELF))
    if response.status >= 400 and response.status != 409:  # somebody was faster, and that change wakes us
        log.warning("%s %s answered %d: %r", method, path, response.status, response.body)


def _place_of(path: str) -> GroupVersion | None:
    """The group and version of `/apis/GROUP/VERSION…`."""
    parts = path.split("/", 4)
    return (parts[2], parts[3]) if len(parts) > 3 and parts[1] == "apis" else None


def _passed_on(call: Call) -> Request:
    request = call.request
    headers = {
        name: value
        for name, value in without_token(request.headers).items()
        if name not in _OWN_HEADERS and not name.startswith(_OWN_PREFIXES)
    }
    headers["x-remote-user"] = call.user.name
    return Request(
        request.method, request.target, headers, request.body, request.peer, more_headers=_told_of(call.user)
    )


def _told_of(user: Identity) -> list[tuple[str, str]]:
    more = [("x-remote-group", group) for group in user.groups]
    more += [("x-remote-uid", user.uid)] if user.uid else []
    return more + [(f"x-remote-extra-{key}", value) for key, values in user.extra.items() for value in values]


async def _relayed(server: Handler, request: Request) -> Response:
    response = await server(request)
    upstream = response.stream
    if upstream is not None:
        return Response(response.status, response.headers, takeover=lambda client: relay(client, upstream))
    headers = [header for header in response.headers if header[0].lower() not in _OF_ONE_CONNECTION]
    return Response(response.status, headers, response.body)
