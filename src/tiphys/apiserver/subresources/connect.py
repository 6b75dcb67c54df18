"""
The subresources that are answered by a node or a pod: log, exec, attach, port-forward and proxy.

Checks are made here; then the request goes on as it is through a Handler that reaches the other side (`Reach`), and
its answer comes back as it is: a body that streams, or a 101 whose connection is relayed as raw bytes. This file knows
no SPDY and no WebSocket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import quote, urlencode

from tiphys.api import errors
from tiphys.api.resources import get as resource_of
from tiphys.apiserver.authn.bearers import without_token
from tiphys.apiserver.call import Attributes, Call, Object
from tiphys.apiserver.negotiation import Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import key_of
from tiphys.apiserver.registry.options import Problem, Query, first, integer
from tiphys.apiserver.routing import Route, is_true
from tiphys.wire.messages import Handler, Request, Response
from tiphys.wire.relay import relay

# Never passed on: they belong to one connection, or say who the client is.
_OWN_HEADERS = frozenset(("authorization", "host", "content-length", "transfer-encoding"))
_OWN_PREFIXES = ("impersonate-", "x-remote-")
_OF_ONE_CONNECTION = frozenset(("connection", "content-length", "date", "keep-alive", "transfer-encoding"))
_FLAGS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))


class Reach(Protocol):
    """How the API server gets to machines. Given by the composition root."""

    def node(self, node: Object) -> Handler:
        """The agent of a node (a Node object), over TLS with the API server's own certificate."""

    def address(self, host: str, port: int, *, tls: bool) -> Handler:
        """Any HTTP server, for the pod and service proxies."""


class Unreachable:
    """A server that was given no way to reach machines says so."""

    def node(self, node: Object) -> Handler:
        return self._refuse

    def address(self, host: str, port: int, *, tls: bool) -> Handler:
        return self._refuse

    @staticmethod
    async def _refuse(request: Request) -> Response:
        raise errors.unavailable("this API server has no way to reach nodes: it runs without a cluster")


class Connector:
    """The verbs of the connecting subresources; `verbs` goes into the dispatcher's table."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def log(self, parts: Parts, call: Call, route: Route, form: Format) -> Response:
        """GET pods/NAME/log. A pod that is on no node yet has an empty log."""
        pod = await _pod(parts, call, route)
        query = route.query
        container = _container(pod, first(query, "container"))
        _check_log_options(route.name, query)
        if not pod["spec"].get("nodeName"):
            return Response(204)
        passed = {name: values[0] for name, values in query.items() if name not in ("container", "pretty") and values}
        return await self._to_node(parts, pod, call, f"/containerLogs/{_place(pod)}/{container}", passed)

    async def exec_(self, parts: Parts, call: Call, route: Route, form: Format) -> Response:
        """GET or POST pods/NAME/exec."""
        return await self._streams(parts, call, route, "exec")

    async def attach(self, parts: Parts, call: Call, route: Route, form: Format) -> Response:
        """GET or POST pods/NAME/attach."""
        return await self._streams(parts, call, route, "attach")

    async def _streams(self, parts: Parts, call: Call, route: Route, verb: str) -> Response:
        pod = await _pod(parts, call, route)
        await _admit(parts, call, pod)
        query = route.query
        container = _container(pod, first(query, "container"))
        phase = (pod.get("status") or {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            what = "exec into" if verb == "exec" else "attach to"
            raise errors.bad_request(f"cannot {what} a container in a completed pod; current phase is {phase}")
        _check_placed(pod)
        passed: list[tuple[str, str]] = [(theirs, "1") for ours, theirs in _FLAGS if is_true(query, ours)]
        passed += [("command", word) for word in query.get("command", ())] if verb == "exec" else []
        return await self._to_node(parts, pod, call, f"/{verb}/{_place(pod)}/{container}", passed)

    async def portforward(self, parts: Parts, call: Call, route: Route, form: Format) -> Response:
        """GET or POST pods/NAME/portforward."""
        pod = await _pod(parts, call, route)
        await _admit(parts, call, pod)
        _check_placed(pod)
        passed = [("port", port) for values in route.query.get("ports", ()) for port in values.split(",")]
        return await self._to_node(parts, pod, call, f"/portForward/{_place(pod)}", passed)

    async def _to_node(
        self, parts: Parts, pod: Object, call: Call, path: str, query: Mapping[str, str] | Sequence[tuple[str, str]]
    ) -> Response:
        node = _node(parts, pod["spec"]["nodeName"])
        target = f"{path}?{urlencode(query)}" if query else path
        return await _relayed(self._reach.node(node), call.request, target)

    async def proxy(self, parts: Parts, call: Call, route: Route, form: Format) -> Response:
        """Any method on pods, services or nodes …/proxy/PATH: the same request to the thing itself."""
        await parts.cache.caught_up()
        assert call.resource is not None
        scheme, name, port = _split_name(route.name)
        query = call.request.target.partition("?")[2]
        target = "/" + quote(route.rest, safe="/:@!$&'()*+,;=~-._") + (f"?{query}" if query else "")
        kind = call.resource.name.partition("/")[0]
        if kind == "nodes":
            return await _relayed(self._reach.node(_node(parts, name)), call.request, target)
        find = self._pod_address if kind == "pods" else self._service_address
        host, number = find(parts, call.namespace, name, port)
        return await _relayed(self._reach.address(host, number, tls=scheme == "https"), call.request, target)

    @staticmethod
    def _pod_address(parts: Parts, namespace: str, name: str, port: str) -> tuple[str, int]:
        pod = parts.cache.get("", "pods", namespace, name)
        if pod is None:
            raise errors.not_found("pods", "", name)
        address = (pod.get("status") or {}).get("podIP")
        if not address:
            raise errors.bad_request("address not allowed")
        declared = [p for c in pod["spec"]["containers"] for p in c.get("ports") or () if p.get("containerPort")]
        if not port:
            return address, int(declared[0]["containerPort"]) if declared else 80
        named = {p.get("name"): p["containerPort"] for p in declared}
        return address, int(port) if port.isdigit() else int(named.get(port, 0))

    @staticmethod
    def _service_address(parts: Parts, namespace: str, name: str, port: str) -> tuple[str, int]:
        service = parts.cache.get("", "services", namespace, name)
        if service is None:
            raise errors.not_found("services", "", name)
        wanted = _service_port(service, port)
        for piece in parts.cache.list("discovery.k8s.io", "endpointslices", namespace):
            if (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
                continue
            found = _ready_endpoint(piece, wanted)
            if found is not None:
                return found
        raise errors.unavailable(f'no endpoints available for service "{name}"')


def _service_port(service: Object, port: str) -> str:
    """The name of the service's port that was asked for."""
    ports = (service.get("spec") or {}).get("ports") or []
    if not port and len(ports) == 1:
        return str(ports[0].get("name", ""))
    for candidate in ports:
        if port in (candidate.get("name", ""), str(candidate.get("port"))):
            return str(candidate.get("name", ""))
    raise errors.unavailable(f'no service port "{port}" found for service "{service["metadata"]["name"]}"')


def _ready_endpoint(piece: Object, port_name: str) -> tuple[str, int] | None:
    numbers = [p.get("port") for p in piece.get("ports") or () if p.get("name", "") == port_name and p.get("port")]
    for endpoint in piece.get("endpoints") or () if numbers else ():
        if (endpoint.get("conditions") or {}).get("ready") is not False and endpoint.get("addresses"):
            return str(endpoint["addresses"][0]), int(numbers[0] or 0)
    return None


def _split_name(text: str) -> tuple[str, str, str]:
    """`[scheme:]name[:port]` as in proxy paths."""
    pieces = text.split(":")
    if len(pieces) == 3 and pieces[0] in ("http", "https", ""):
        return pieces[0], pieces[1], pieces[2]
    if len(pieces) == 2:
        return "", pieces[0], pieces[1]
    if len(pieces) == 1:
        return "", text, ""
    raise errors.bad_request(f'invalid proxy request "{text}"')


async def _pod(parts: Parts, call: Call, route: Route) -> Object:
    await parts.cache.caught_up()
    record = parts.cache.record(key_of(resource_of("", "v1", "pods"), call.namespace, route.name))
    if record is None:
        raise errors.not_found("pods", "", route.name)
    return record.object


def _node(parts: Parts, name: str) -> Object:
    node = parts.cache.get("", "nodes", "", name)
    if node is None:
        raise errors.not_found("nodes", "", name)
    return node


def _place(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _check_placed(pod: Object) -> None:
    if not pod["spec"].get("nodeName"):
        raise errors.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")


def _container(pod: Object, wanted: str) -> str:
    spec, name = pod["spec"], pod["metadata"]["name"]
    names = [container["name"] for container in spec.get("containers") or ()]
    initial = [container["name"] for container in spec.get("initContainers") or ()]
    temporary = [container["name"] for container in spec.get("ephemeralContainers") or ()]
    if wanted:
        if wanted not in (*names, *initial, *temporary):
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(names) == 1:
        return str(names[0])
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
    if initial:
        text += f" or one of the init containers: [{' '.join(initial)}]"
    if temporary:
        text += f" or one of the ephemeral containers: [{' '.join(temporary)}]"
    raise errors.bad_request(text)


def _check_log_options(name: str, query: Query) -> None:
    problems: list[Problem] = []
    for option, least, why in (
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ):
        if first(query, option):
            number = integer(query, option)
            if number < least:
                problems.append(Problem("FieldValueInvalid", option, f"Invalid value: {number}: {why}"))
    if first(query, "sinceTime") and first(query, "sinceSeconds"):
        why = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        problems.append(Problem("FieldValueForbidden", "[]", f"Forbidden: {why}"))
    if problems:
        causes = [{"reason": p.reason, "message": p.text, "field": p.field} for p in problems]
        raise errors.invalid("PodLogOptions", "", name, [f"{p.field}: {p.text}" for p in problems], causes)


async def _admit(parts: Parts, call: Call, pod: Object) -> None:
    """CONNECT goes through admission too."""
    assert call.resource is not None
    options: Object = {name: list(values) for name, values in call.query.items()}
    attributes = Attributes(
        "CONNECT", call.resource, call.subresource, call.namespace, pod["metadata"]["name"],
        options, None, call.user, {}, False, call.warnings,
    )  # fmt: skip
    await parts.admission.mutate(attributes)
    await parts.admission.validate(attributes)


async def _relayed(handler: Handler, request: Request, target: str) -> Response:
    """The other side's answer; if it switched protocols, its connection is joined to the client's."""
    try:
        response = await handler(_passed_on(request, target))
    except OSError as error:
        raise errors.failure(502, "BadGateway", f"error dialing backend: {error}") from error
    upstream = response.stream
    if upstream is None:
        headers = [header for header in response.headers if header[0].lower() not in _OF_ONE_CONNECTION]
        return Response(response.status, headers, response.body)
    return Response(response.status, response.headers, takeover=lambda client: relay(client, upstream))


def _passed_on(request: Request, target: str) -> Request:
    headers = {
        name: value
        for name, value in without_token(request.headers).items()
        if name not in _OWN_HEADERS and not name.startswith(_OWN_PREFIXES)
    }
    return Request(request.method, target, headers, request.body, request.peer)
