"""
HAProxy's files for a table of routes. Pure.

A request's host and path are looked up in maps, which HAProxy keeps as trees, so that its cost does not grow with the
number of routes: an exact path in one map, the longest prefix in another; first with the host itself, then with `*` for
its first label, then without a host. A prefix ends with a slash there and so does what is looked up: whole elements.

Everything but the servers makes up the *generation*: while that stays, changes go through the runtime socket; when it
changes, HAProxy is told to read its files anew, and its new worker takes the listening sockets over from the old one,
which goes on to serve the connections that it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.ingress.routes import Certificate, Match, Pool, Table
from tiphys.ingress.runtime import GENERATION
from tiphys.ingress.servers import Server
from tiphys.ingress.settings import IngressSettings

CONFIG, EXACT, PREFIX, CERTIFICATES = "haproxy.cfg", "exact.map", "prefix.map", "certificates.list"
ADMIN, NOTIFY = "admin.sock", "notify.sock"
# Connections that a worker takes at once; each needs two descriptors and up to 32 KiB.
CONNECTIONS_MAX = 8192
# How long a worker that was replaced goes on to serve long connections (WebSockets).
OLD_WORKER_HOURS = 1
NOBODY = "no Ingress serves this host and path"
# Kept for clients that send several requests, and for pods.
IDLE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Files:
    """File names below the run directory, and their content. `generation` names all of it but the servers."""

    generation: str
    content: Mapping[str, str]


def files(table: Table, servers: Mapping[str, Sequence[Server]], settings: IngressSettings, user: str = "") -> Files:
    """`user`: as whom the worker runs; "" is as whom it was started."""
    directory = str(settings.run_dir)
    content = {
        EXACT: _map(table, exact=True),
        PREFIX: _map(table, exact=False),
        CERTIFICATES: _certificate_list(table.certificates, directory),
        **{f"{_digest(one.pem)}.pem": one.pem for one in table.certificates},
    }
    pools = sorted(table.pools.items())
    front = _front(table, settings)
    fixed = [_head(directory, user, ""), front, *(_pool(pool, ()) for _, pool in pools)]
    generation = _digest("\n".join([*fixed, *(f"{name}\n{text}" for name, text in sorted(content.items()))]))
    parts = [_head(directory, user, generation), front, *(_pool(pool, servers.get(name, ())) for name, pool in pools)]
    return Files(generation, {**content, CONFIG: "\n".join(parts)})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _map(table: Table, *, exact: bool) -> str:
    """Of two lines for one key HAProxy takes the first, and so does a Table."""
    chosen = [route for route in table.routes if route.match.exact == exact]
    return "".join(f"{_key(route.match)} {route.pool.name}\n" for route in chosen)


def _key(match: Match) -> str:
    return f"{match.host}{match.path}" if match.exact or match.path == "/" else f"{match.host}{match.path}/"


def _certificate_list(certificates: Sequence[Certificate], directory: str) -> str:
    """The first is for clients that name no host that is known, so one without names goes first."""
    ordered = sorted(certificates, key=lambda one: bool(one.hosts))
    return "".join(f"{directory}/{_digest(one.pem)}.pem {' '.join(one.hosts)}".rstrip() + "\n" for one in ordered)


def _head(directory: str, user: str, generation: str) -> str:
    account = f"\n    user {user}" if user else ""
    return f"""
global
    stats socket {directory}/{ADMIN} mode 600 level admin expose-fd listeners
    setenv {GENERATION} {generation or "-"}
    maxconn {CONNECTIONS_MAX}
    no strict-limits
    noreuseport
    hard-stop-after {OLD_WORKER_HOURS}h
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    tune.ssl.default-dh-param 2048{account}

defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 30s
    timeout http-keep-alive {IDLE_SECONDS}s
    timeout tunnel 1h
    # A client that is about to send another request is answered before its old worker lets it go.
    option idle-close-on-response
    # A pod that is gone before its endpoint: another one is asked, if it can do no harm.
    option redispatch 1
    retries 3
    retry-on conn-failure empty-response
"""


def _front(table: Table, settings: IngressSettings) -> str:
    directory, certificates = settings.run_dir, table.certificates
    listens = [f"bind {settings.bind}:{settings.http_port}"]
    if certificates:
        # A name that no certificate has is refused, unless one is there for every name.
        strict = " strict-sni" if all(one.hosts for one in certificates) else ""
        secure = f"ssl crt-list {directory}/{CERTIFICATES} alpn h2,http/1.1{strict}"
        listens.append(f"bind {settings.bind}:{settings.https_port} {secure}")
    binds, look_ups = "\n    ".join(listens), "\n    ".join(_look_ups(table, directory))
    return f"""
frontend in
    {binds}
    {look_ups}
    http-request disable-l7-retry if {{ method POST PATCH CONNECT }}
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    use_backend %[var(txn.to)]
    default_backend nobody

backend nobody
    http-request return status 404 content-type text/plain string "{NOBODY}\\n"
"""


def _look_ups(table: Table, directory: Path) -> list[str]:
    """The most exact first. A sort of host or path that no route has is not looked for: each look costs."""
    matches = [route.match for route in table.routes]
    hosts = {
        "var(txn.host)": [match for match in matches if match.host and not match.host.startswith("*")],
        "var(txn.host),regsub(^[^.]+,*)": [match for match in matches if match.host.startswith("*")],
        "": [match for match in matches if not match.host],
    }
    lines = [
        "http-request set-var(txn.host) req.hdr(host),field(1,:),lower",
        "http-request set-var(txn.path) path",
    ]
    found = ""
    for host, listed in hosts.items():
        for exact, file, end, how in ((True, EXACT, "", "map_str"), (False, PREFIX, "/", "map_beg")):
            if any(match.exact == exact for match in listed):
                key = f"{host},concat(,txn.path,{end})" if host else f"path,concat({end})"
                lines.append(f"http-request set-var(txn.to) {key},{how}({directory}/{file}){found}")
                found = " unless { var(txn.to) -m found }"
    return lines


def _pool(pool: Pool, servers: Sequence[Server]) -> str:
    lines = [f"    http-request redirect scheme https code {one.code} unless {{ ssl_fc }}" for one in pool.filters]
    lines += [f"    server s{place} {_server(server)}" for place, server in enumerate(servers, 1)]
    return "\n".join([f"\nbackend {pool.name}", "    balance roundrobin", *lines, ""])


def _server(server: Server) -> str:
    state = "" if server.used else " disabled"
    return f"{server.address}:{server.port} weight {server.weight}{state}"
