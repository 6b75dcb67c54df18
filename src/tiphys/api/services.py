"""What several rooms ask of a Service and the pods behind it: who is selected, and which port number is meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.api.objects import labels_of

# A port as endpoints carry it, hashable: name, number, protocol, application protocol.
Port = tuple[str, int, str, str]

FINISHED = ("Failed", "Succeeded")


def selects(service: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Whether the Service's selector matches; a Service without one selects nothing."""
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= labels_of(pod).items()


def has_address(pod: Mapping[str, Any]) -> bool:
    """A pod that has an address and has not finished: what may become an endpoint."""
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") not in FINISHED


def ports_of(service: Mapping[str, Any], pod: Mapping[str, Any]) -> tuple[Port, ...]:
    """The Service's ports as this pod opens them; a named port that the pod does not have is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = target_port(port, pod)
        if number is not None:
            protocol = port.get("protocol") or "TCP"
            found.append((port.get("name") or "", number, protocol, port.get("appProtocol") or ""))
    return tuple(found)


def target_port(port: Mapping[str, Any], pod: Mapping[str, Any]) -> int | None:
    """The number behind targetPort; None if no container of the pod gives it that name."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    for opened in _opened(pod):
        if opened.get("name") == target and (opened.get("protocol") or "TCP") == (port.get("protocol") or "TCP"):
            return int(opened["containerPort"])
    return None


def _opened(pod: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    spec = pod["spec"]
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    for container in (*spec["containers"], *sidecars):
        yield from container.get("ports") or ()
