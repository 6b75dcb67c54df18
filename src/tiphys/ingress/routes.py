"""
What the data plane is to do, in its own terms: requests that match lead to weighted backends, through filters. Pure.

Ingresses are read into this (`plan.py`) and HAProxy's configuration is made of it (`config.py`); neither knows the
other. The words are those of the Gateway API, whose routes say more than an Ingress can: its matches would add fields
to Match, its filters kinds to Filter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """
    Requests for a host and a path. `host` is a name, `*.` and a name for one label before it, or "" for every host.
    A path that is not `exact` is a prefix of whole elements: `/a` has `/a/b` in it, not `/ab`.
    """

    host: str = ""
    path: str = "/"
    exact: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """A port of a Service, by the port's name there ("" where it has none), and its share of the requests."""

    namespace: str
    service: str
    port: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class RedirectToHttps:
    """Requests on plain HTTP are sent to the same place on HTTPS."""

    code: int = 308


Filter = RedirectToHttps


@dataclass(frozen=True, slots=True)
class Pool:
    """Where requests go: routes that say the same share one."""

    backends: tuple[Backend, ...]
    filters: tuple[Filter, ...] = ()

    @property
    def name(self) -> str:
        """Unique, and readable where it can be: `shop:web:http`."""
        if len(self.backends) == 1 and not self.filters:
            one = self.backends[0]
            return f"{one.namespace}:{one.service}:{one.port or '-'}"
        return f"pool:{hashlib.sha256(repr(self).encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Route:
    match: Match
    pool: Pool


@dataclass(frozen=True, slots=True)
class Certificate:
    """Chain and key for some names; for every other name where there are none."""

    hosts: tuple[str, ...]
    pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Table:
    """
    Everything that is served. Of two routes with the same match the first counts. A more exact host goes before a
    wildcard and that before every host; then an exact path before prefixes, the longest first.
    """

    routes: tuple[Route, ...] = ()
    certificates: tuple[Certificate, ...] = ()

    @property
    def pools(self) -> dict[str, Pool]:
        return {route.pool.name: route.pool for route in self.routes}
