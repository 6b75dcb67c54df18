"""One check of a container, whatever its kind: exec, httpGet, tcpSocket or grpc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.node.probes import command, grpc, http, tcp
from tiphys.node.probes.outcome import Outcome
from tiphys.runtime.door import Runtime

Container = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """The run that is looked at, and the pod's address (the host's for pods in its network)."""

    runtime: Runtime
    container: Container
    run_id: str
    address: str


class NoSuchPort(Exception):
    """A probe or hook names a port that the container does not declare."""


async def check(subject: Subject, action: Mapping[str, Any], timeout_seconds: float) -> Outcome:
    """Run a probe's (or a hook's) action once."""
    try:
        if action.get("exec"):
            words = action["exec"].get("command") or ()
            return await command.check(subject.runtime, subject.run_id, words, timeout_seconds)
        if action.get("httpGet"):
            return await http.check(http_target(subject, action["httpGet"]), timeout_seconds)
        if action.get("tcpSocket"):
            socket = action["tcpSocket"]
            port = port_of(subject.container, socket["port"])
            return await tcp.check(socket.get("host") or subject.address, port, timeout_seconds)
        if action.get("grpc"):
            service = action["grpc"].get("service") or ""
            return await grpc.check(subject.address, int(action["grpc"]["port"]), service, timeout_seconds)
    except NoSuchPort as error:
        return Outcome(False, str(error))
    return Outcome(False, f"missing probe handler for container {subject.container['name']}")


def http_target(subject: Subject, action: Mapping[str, Any]) -> http.Target:
    path = action.get("path") or "/"
    return http.Target(
        scheme=(action.get("scheme") or "HTTP").lower(),
        host=action.get("host") or subject.address,
        port=port_of(subject.container, action["port"]),
        path=path if path.startswith("/") else f"/{path}",
        headers=[(header["name"], header.get("value") or "") for header in action.get("httpHeaders") or ()],
    )


def port_of(container: Container, port: int | str) -> int:
    """A number, or the name of one of the container's ports. NoSuchPort."""
    if isinstance(port, int) or port.isdecimal():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise NoSuchPort(f"couldn't find port: {port}")
