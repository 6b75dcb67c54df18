"""GET one ConfigMap: as an administrator, and as a service account that a Role allows it (signed token, RBAC)."""

from __future__ import annotations

from benchmarks.frame import Figure, Server, bare_server, wrk

PATH = "/api/v1/namespaces/default/configmaps/one"


def measure() -> list[Figure]:
    with bare_server() as server:
        server.kubectl("create", "configmap", "one", "--from-literal=key=value")
        admin = wrk(server, PATH, clients=16).per_second
        account = wrk(server, PATH, clients=16, token=_account_token(server)).per_second
    return [
        Figure("GET one object, 16 clients", admin, 15_000, "/s", kubernetes=4_075),
        Figure("GET one object as a service account, 16 clients", account, 15_000, "/s", kubernetes=4_075),
    ]


def _account_token(server: Server) -> str:
    server.kubectl("create", "serviceaccount", "reader")
    server.kubectl("create", "role", "reads", "--verb=get,list", "--resource=configmaps")
    server.kubectl("create", "rolebinding", "reads", "--role=reads", "--serviceaccount=default:reader")
    return server.kubectl("create", "token", "reader").strip()
