"""What an Ingress' status says: the addresses at which it is served. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, key_of, uid_of
from tiphys.reconcile.commands import Command, Patch, Say

Object = Mapping[str, Any]

INGRESSES = resources.get("networking.k8s.io", "v1", "ingresses")


def plan(ingress: Object, own: str, nodes: Collection[str]) -> list[Command]:
    """
    One patch, or nothing. `own` is this node's address while it serves the Ingress, else "". Each node writes for
    itself and leaves the addresses of other nodes that are there; those of nodes that are gone go with the next word.
    """
    told = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    held = [item.get("ip") or "" for item in told]
    wanted = sorted({address for address in held if address in nodes} | ({own} if own else set()))
    if held == wanted:
        return []
    meta = {"uid": uid_of(ingress), "resourceVersion": ingress["metadata"].get("resourceVersion", "")}
    status = {"loadBalancer": {"ingress": [{"ip": address} for address in wanted] or None}}
    commands: list[Command] = [Patch(INGRESSES, key_of(ingress), {"metadata": meta, "status": status}, "status")]
    if own and own not in held:
        commands.append(Say(ingress, "Normal", "Programmed", f"Its hosts and paths are served at {own}"))
    return commands


def others(nodes: Collection[Object], own: str) -> set[str]:
    """The addresses of the other nodes that are ready."""
    found = set()
    for node in nodes:
        ready = condition_of(node, "Ready")
        if ready is None or ready["status"] != "True" or is_deleting(node):
            continue
        addresses = (node.get("status") or {}).get("addresses") or ()
        found |= {item["address"] for item in addresses if item["type"] == "InternalIP"}
    return found - {own}
