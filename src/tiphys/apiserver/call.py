"""
One API request, understood: the record that handlers, admission and storage strategies share.

`routing.py` makes a Call from a wire Request; the chain fills `user`; verbs answer it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tiphys.api.resources import Resource
from tiphys.wire.messages import Identity, Request

Object = dict[str, Any]


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
    user: Identity = field(default_factory=lambda: Identity("system:anonymous", ("system:unauthenticated",)))
    warnings: list[str] = field(default_factory=list)

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
