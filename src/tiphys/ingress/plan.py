"""
What Ingresses ask for, as routes and certificates, and what is wrong with them. Pure.

The oldest Ingress goes first: where two claim the same host and path, it keeps them. A part that cannot be served (a
Service, port or certificate that is missing) leaves the other parts as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import annotations_of, is_deleting, key_of, name_of, namespace_of
from tiphys.ingress.certificates import BadCertificate, bundle
from tiphys.ingress.routes import Backend, Certificate, Filter, Match, Pool, RedirectToHttps, Route, Table
from tiphys.ingress.settings import CONTROLLER

Object = Mapping[str, Any]
Stored = dict[str, Any]
Key = tuple[str, str]
Find = Callable[[str, str], Object | None]

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
REDIRECT_ANNOTATION = "tiphys.io/redirect-to-https"


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of an Ingress that is not served: an event about it."""

    ingress: Key
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Planned:
    table: Table
    problems: tuple[Problem, ...]


def class_of(ingress: Object) -> str:
    """The class that it names; "" for none."""
    spec = ingress.get("spec") or {}
    return str(spec.get("ingressClassName") or annotations_of(ingress).get(CLASS_ANNOTATION) or "")


def ours(ingresses: Iterable[Stored], classes: Iterable[Object]) -> list[Stored]:
    """The Ingresses of our classes, oldest first."""
    names = {name_of(one) for one in classes if (one.get("spec") or {}).get("controller") == CONTROLLER}
    mine = [one for one in ingresses if class_of(one) in names and not is_deleting(one)]
    return sorted(mine, key=lambda one: (one["metadata"].get("creationTimestamp") or "", key_of(one)))


def asks_for_certificates(ingresses: Iterable[Object]) -> bool:
    return any((ingress.get("spec") or {}).get("tls") for ingress in ingresses)


def plan(ingresses: Iterable[Object], service: Find, secret: Find) -> Planned:
    """All routes and certificates of Ingresses in the order that `ours` gave them."""
    reading = _Reading(service, secret)
    ingresses = list(ingresses)
    for ingress in ingresses:
        reading.rules(ingress)
        reading.certificates(ingress)
    # Last, so that nobody's default takes what somebody asked for.
    for ingress in ingresses:
        reading.default(ingress)
    routes = tuple(Route(match, pool) for match, (pool, _) in reading.routes.items())
    return Planned(Table(routes, tuple(reading.chains)), tuple(dict.fromkeys(reading.problems)))


class _Reading:
    """Gathers what one Ingress after another asks for. `service` and `secret` find objects by namespace and name."""

    def __init__(self, service: Find, secret: Find) -> None:
        self._service = service
        self._secret = secret
        self.routes: dict[Match, tuple[Pool, Key]] = {}
        self.chains: list[Certificate] = []
        self.problems: list[Problem] = []

    def rules(self, ingress: Object) -> None:
        for host, path in _paths(ingress):
            pool = self._pool(ingress, path.get("backend") or {})
            if pool is None:
                continue
            match = Match(host, _normal(path), path.get("pathType") == "Exact")
            if any(character.isspace() for character in match.path):
                self._say(ingress, "InvalidPath", f"no request has the path {match.path!r}: write %20 for a space")
                continue
            _, holder = self.routes.setdefault(match, (pool, key_of(ingress)))
            if holder != key_of(ingress):
                text = f"{host or '*'}{match.path} is served for Ingress {'/'.join(holder)}, which is older"
                self._say(ingress, "Conflict", text)

    def default(self, ingress: Object) -> None:
        """The default backend takes what is left of the Ingress' hosts, or of everything if it names none."""
        spec = ingress.get("spec") or {}
        if not spec.get("defaultBackend"):
            return
        pool = self._pool(ingress, spec["defaultBackend"])
        if pool is None:
            return
        hosts = [rule.get("host") or "" for rule in spec.get("rules") or ()] or [""]
        for host in dict.fromkeys(host.lower() for host in hosts):
            self.routes.setdefault(Match(host), (pool, key_of(ingress)))

    def certificates(self, ingress: Object) -> None:
        for entry in (ingress.get("spec") or {}).get("tls") or ():
            name = entry.get("secretName") or ""
            secret = self._secret(namespace_of(ingress), name) if name else None
            if secret is None:
                self._say(ingress, "SecretNotFound", f"there is no Secret {name!r} of type kubernetes.io/tls")
                continue
            try:
                chain = bundle(secret)
            except BadCertificate as error:
                self._say(ingress, "InvalidCertificate", f"Secret {name!r}: {error}")
                continue
            self.chains.append(Certificate(tuple(sorted(host.lower() for host in entry.get("hosts") or ())), chain))

    def _pool(self, ingress: Object, backend: Object) -> Pool | None:
        named = backend.get("service")
        if not named:
            self._say(ingress, "BackendNotSupported", "a backend that is a resource is not served: name a Service")
            return None
        service = self._service(namespace_of(ingress), named["name"])
        if service is None:
            self._say(ingress, "ServiceNotFound", f"there is no Service {named['name']!r}")
            return None
        asked = named.get("port") or {}
        port = _port_name(service, asked)
        if port is None:
            asked_for = asked.get("name") or asked.get("number")
            self._say(ingress, "PortNotFound", f"Service {named['name']!r} has no port {asked_for}")
            return None
        return Pool((Backend(namespace_of(ingress), named["name"], port),), _filters(ingress))

    def _say(self, ingress: Object, reason: str, message: str) -> None:
        self.problems.append(Problem(key_of(ingress), reason, message))


def _paths(ingress: Object) -> Iterator[tuple[str, Object]]:
    for rule in (ingress.get("spec") or {}).get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            yield (rule.get("host") or "").lower(), path


def _normal(path: Object) -> str:
    """As a Match has it: a prefix ends without a slash. What is left to us (ImplementationSpecific) is a prefix."""
    text: str = path.get("path") or "/"
    return text if path.get("pathType") == "Exact" else text.rstrip("/") or "/"


def _port_name(service: Object, asked: Object) -> str | None:
    """The name of the port that is asked for by name or number; None if the Service has none such."""
    for port in service["spec"].get("ports") or ():
        same = port.get("name") == asked["name"] if asked.get("name") else port.get("port") == asked.get("number")
        if same and (port.get("protocol") or "TCP") == "TCP":
            return port.get("name") or ""
    return None


def _filters(ingress: Object) -> tuple[Filter, ...]:
    wanted = annotations_of(ingress).get(REDIRECT_ANNOTATION) == "true"
    return (RedirectToHttps(),) if wanted else ()
