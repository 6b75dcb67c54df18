"""
Which addresses answer for a pool, and how the requests are shared among them. Pure.

As for packets: the ready endpoints; where a Service has none, those that terminate and still serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.ingress.routes import Backend, Pool

Object = Mapping[str, Any]
# Address and port.
Target = tuple[str, int]
SlicesOf = Callable[[str, str], Iterable[Object]]

# HAProxy's greatest weight; what it shares by it is precise to one part in this many.
WEIGHT_MAX = 256


def targets(backend: Backend, slices: Iterable[Object]) -> list[Target]:
    """The addresses that answer for a port of a Service, in order."""
    ready: set[Target] = set()
    last: set[Target] = set()
    for piece in slices:
        if piece.get("addressType") == "IPv6":
            continue
        for port in piece.get("ports") or ():
            if (port.get("name") or "") != backend.port or (port.get("protocol") or "TCP") != "TCP":
                continue
            if not port.get("port"):
                continue
            for endpoint in piece.get("endpoints") or ():
                conditions = endpoint.get("conditions") or {}
                target = (endpoint["addresses"][0], int(port["port"]))
                if conditions.get("ready") in (None, True):
                    ready.add(target)
                elif conditions.get("serving") and conditions.get("terminating"):
                    last.add(target)
    return sorted(ready or last)


def shares(pool: Pool, slices_of: SlicesOf) -> dict[Target, int]:
    """Each address with its weight: those of one backend together have the backend's share."""
    found = {
        backend: targets(backend, slices_of(backend.namespace, backend.service))
        for backend in pool.backends
        if backend.weight > 0
    }
    parts = {backend: backend.weight / len(listed) for backend, listed in found.items() if listed}
    most = max(parts.values(), default=1.0)
    weights: dict[Target, int] = {}
    for backend, part in parts.items():
        for target in found[backend]:
            weights[target] = weights.get(target, 0) + max(round(part / most * WEIGHT_MAX), 1)
    return {target: min(weight, WEIGHT_MAX) for target, weight in weights.items()}


def has_ended(uid: str, slices: Iterable[Object]) -> bool:
    """Whether no endpoint of that pod is to get requests any more."""
    return not any(
        (endpoint.get("targetRef") or {}).get("uid") == uid
        and not (endpoint.get("conditions") or {}).get("terminating")
        for piece in slices
        for endpoint in piece.get("endpoints") or ()
    )
