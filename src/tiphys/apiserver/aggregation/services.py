"""
What an APIService says of where its server is, and whether it can be reached. Pure, but for the words of errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.resources import Resource

Object = Mapping[str, Any]

SERVICE_NAME = "kubernetes.io/service-name"


class Unavailable(Exception):
    """Why a server cannot be asked: `reason` is the condition's, the text its message."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Backend:
    """One server: an address, the name that its certificate must have, and who vouches for it (None: nobody asks)."""

    host: str
    port: int
    name: str
    authorities: bytes | None


def is_foreign(service: Object) -> bool:
    """Whether another server answers the group."""
    return bool(service["spec"].get("service"))


def group_version(service: Object) -> tuple[str, str]:
    return service["spec"].get("group", ""), service["spec"]["version"]


def backend(
    api_service: Object, service: Object | None, slices: Iterable[Object], authorities: bytes | None
) -> Backend:
    """Where the server of an APIService is now. Unavailable."""
    reference = api_service["spec"]["service"]
    namespace, name = reference["namespace"], reference["name"]
    named = f'service/{name} in "{namespace}"'
    if service is None:
        raise Unavailable("ServiceNotFound", f"{named} is not present")
    wanted = reference.get("port") or 443
    port = next((one for one in service["spec"].get("ports") or () if one["port"] == wanted), None)
    if port is None:
        raise Unavailable("ServicePortError", f"{named} is not listening on port {wanted}")
    port_name = port.get("name") or ""
    for piece in slices:
        number = next((p.get("port") for p in piece.get("ports") or () if (p.get("name") or "") == port_name), None)
        for endpoint in piece.get("endpoints") or ():
            if number and (endpoint.get("conditions") or {}).get("ready") is not False and endpoint.get("addresses"):
                return Backend(endpoint["addresses"][0], int(number), f"{name}.{namespace}.svc", authorities)
    text = f'endpoints for service/{name} in "{namespace}" have no addresses with port name "{port_name}"'
    raise Unavailable("MissingEndpoints", text)


def resources_of(listed: Object, group: str, version: str) -> tuple[Resource, ...]:
    """The records of a server's APIResourceList."""
    return tuple(
        Resource(
            group=group,
            version=version,
            name=item["name"],
            kind=item["kind"],
            namespaced=bool(item.get("namespaced")),
            verbs=tuple(item.get("verbs") or ()),
            singular=item.get("singularName") or "",
            short_names=tuple(item.get("shortNames") or ()),
            categories=tuple(item.get("categories") or ()),
            kind_group=item.get("group") or "",
        )
        for item in listed.get("resources") or ()
    )
