"""The words of HAProxy's runtime socket: changes of servers as commands, and its answers read. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.ingress.endpoints import Target
from tiphys.ingress.servers import Change, Put, Server, Weigh

STATE = "show servers state"
CONNECTIONS = "show servers conn"
# Of backends alone.
TOTALS = "show stat -1 2 -1"
# What the configuration calls itself (`config.py`).
GENERATION = "TIPHYS_GENERATION"
ASK_GENERATION = f"show env {GENERATION}"

_COLUMNS_MIN = 19


def commands(pool: str, changes: Iterable[Change]) -> list[str]:
    """One command line for each change; each answers with nothing that `failure` knows."""
    return [_command(pool, change) for change in changes]


def _command(pool: str, change: Change) -> str:
    server = f"{pool}/s{change.place}"
    match change:
        case Put(_, new, True):
            return f"add server {server} {new.address}:{new.port} weight {new.weight}; enable server {server}"
        case Put(_, new, False):
            parts = [
                f"set server {server} addr {new.address} port {new.port}",
                f"set server {server} weight {new.weight}",
                f"set server {server} state ready",
            ]
            return "; ".join(parts)
        case Weigh(_, weight):
            return f"set server {server} weight {weight}"
    return f"set server {server} state maint"


def failure(answer: str) -> str:
    """What went wrong, if anything did: HAProxy says nothing, or that something was changed, when all is well."""
    fine = ("New server registered.", "no need to change", "changed from")
    lines = [line.strip() for line in answer.splitlines()]
    return "; ".join(line for line in lines if line and not any(word in line for word in fine))


def servers(state: str) -> dict[str, list[Server]]:
    """The places of each pool, from `show servers state`."""
    rows = [line.split() for line in state.splitlines() if not line.startswith("#")]
    found: dict[str, dict[int, Server]] = {}
    for row in rows:
        if len(row) < _COLUMNS_MIN:  # the number of the format, and the end
            continue
        pool, name, address, admin, weight, port = row[1], row[3], row[4], int(row[6]), int(row[7]), int(row[18])
        if name.startswith("s") and name[1:].isdigit():
            found.setdefault(pool, {})[int(name[1:])] = Server(address, port, weight, used=not admin)
    return {pool: [places[place] for place in sorted(places)] for pool, places in found.items()}


def requests(totals: str) -> dict[str, int]:
    """How many requests each pool has had since its worker began, from `show stat`."""
    lines = totals.splitlines()
    columns = lines[0].lstrip("# ").split(",") if lines else []
    if "stot" not in columns:
        return {}
    rows = [dict(zip(columns, line.split(","), strict=False)) for line in lines[1:] if line]
    return {row["pxname"]: int(row["stot"]) for row in rows if row.get("stot")}


def requests_under_way(connections: str) -> dict[Target, int]:
    """How many connections to each address are in use, from `show servers conn`."""
    found: dict[Target, int] = {}
    for line in connections.splitlines():
        fields = line.split()
        if len(fields) > 6 and "/" in fields[0] and fields[3].isdigit():
            target = (fields[2], int(fields[3]))
            found[target] = found.get(target, 0) + int(fields[6])
    return found
