"""
One API request, understood: the record that handlers, admission and storage strategies share.

`routing.py` makes a Call from a wire Request; the chain fills `user`; verbs answer it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tiphys.api.resources import Resource
from tiphys.wire.messages import Identity, Request, Response

Object = dict[str, Any]

# Until the chain knows better.
_ANONYMOUS = Identity("system:anonymous", ("system:unauthenticated",))


@dataclass(slots=True)
class Call:
    """
    `verb` is the authorization verb: get list watch create update patch delete deletecollection, or the lower-case HTTP
    method for a path that is no resource (`resource` is then None). `warnings` become Warning headers.
    """

    request: Request
    verb: str
    path: str
    query: Mapping[str, Sequence[str]]
    resource: Resource | None = None
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    user: Identity = _ANONYMOUS
    warnings: list[str] = field(default_factory=list)
    impersonator: Identity | None = None  # who really speaks, where `user` is somebody else

    def parameter(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default


class Reader(Protocol):
    """What admission and strategies may see of other objects: the server's own watch cache. Read-only dicts."""

    def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None: ...

    def list(self, group: str, resource: str, namespace: str = "") -> Iterable[Object]: ...


@dataclass(slots=True)
class Attributes:
    """
    What admission decides on. Mutating plugins change `object`, which is private to the request.

    `operation` is CREATE, UPDATE, DELETE or CONNECT; `object` is None on DELETE; `old` is None on CREATE.
    """

    operation: str
    resource: Resource
    subresource: str
    namespace: str
    name: str
    object: Object | None
    old: Object | None
    user: Identity
    options: Object
    dry_run: bool
    warnings: list[str]


class Admission(Protocol):
    """Raises StatusError to refuse. `mutate` runs before validation, `validate` after it."""

    async def mutate(self, attributes: Attributes) -> None: ...

    async def validate(self, attributes: Attributes) -> None: ...


class Authenticator(Protocol):
    async def authenticate(self, request: Request) -> Identity:
        """Who speaks (the anonymous identity if nobody says so); raises 401 for credentials that are wrong."""


class Impersonator(Protocol):
    async def impersonate(self, call: Call) -> Identity:
        """Whom `call.user` acts as, from the Impersonate- headers: `call.user` without them; raises 403."""


class Authorizer(Protocol):
    async def authorize(self, call: Call) -> None:
        """Raises 403 with Kubernetes' text unless `call.user` may do what `call` says."""


class Auditor(Protocol):
    def record(self, call: Call, status: int, seconds: float) -> None:
        """One line for one answered call; never waits and never raises."""


# A path that is no stored resource: discovery, OpenAPI, health, version, metrics. None: not mine, ask the next one.
Page = Callable[[Call], Awaitable[Response | None]]

# A create that stores nothing (SubjectAccessReview and family, TokenReview, TokenRequest): the decoded, defaulted
# body in, the answered object out (201). For a subresource (`serviceaccounts/token`) the parent exists already.
Review = Callable[[Call, Object], Awaitable[Object]]
