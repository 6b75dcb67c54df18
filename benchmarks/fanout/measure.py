"""
One write seen by 1,000 watchers: from sending the write to each watcher's having read the event, over TLS.

The watchers are bare TLS sockets on one epoll: a client of a thousand connections has to be quick itself, or its own
time would be counted.
"""

from __future__ import annotations

import gc
import select
import socket
import ssl
import time

from benchmarks.frame import TOKEN, Figure, Server, bare_server

WATCHERS, WRITES = 1_000, 30
PATH = "/api/v1/namespaces/default/configmaps"
SECONDS_MAX = 10.0
PAUSE_SECONDS = 0.1


def measure() -> list[Figure]:
    with bare_server() as running:
        running.kubectl("create", "configmap", "seen", "--from-literal=number=0")
        gc.disable()  # the collector's pauses here would be counted as the server's
        delays = sorted(_delays(running))
        gc.enable()
    p99 = delays[int(len(delays) * 0.99)] * 1000
    return [Figure("one write seen by 1,000 watchers, p99", p99, 20, "ms", at_most=True)]


def _delays(running: Server) -> list[float]:
    """Every watcher's delay for every write, in seconds."""
    context = ssl.create_default_context(cadata=(running.directory / "data" / "pki" / "ca.crt").read_text())
    watchers = {}
    poll = select.epoll()
    for _ in range(WATCHERS):
        opened = _connection(context, running)
        _ask(opened, "GET", f"{PATH}?watch=1")
        opened.setblocking(False)
        watchers[opened.fileno()] = opened
        poll.register(opened, select.EPOLLIN)
    _read(poll, watchers, b'"number":"0"')
    writer = _connection(context, running)
    delays: list[float] = []
    for number in range(WRITES):
        time.sleep(PAUSE_SECONDS)
        sent = time.perf_counter()
        _ask(writer, "PATCH", f"{PATH}/seen", b'{"data":{"number":"n%d"}}' % number)
        delays += [at - sent for at in _read(poll, watchers, b'"number":"n%d"' % number)]
        writer.recv(65536)
    for each in (writer, *watchers.values()):
        each.close()
    return delays


def _connection(context: ssl.SSLContext, running: Server) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", running.port))
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def _ask(connection: ssl.SSLSocket, method: str, path: str, body: bytes = b"") -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += f"Content-Type: application/merge-patch+json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def _read(poll: select.epoll, watchers: dict[int, ssl.SSLSocket], wanted: bytes) -> list[float]:
    """When each watcher had read what is wanted."""
    times: list[float] = []
    deadline = time.perf_counter() + SECONDS_MAX
    while len(times) < len(watchers):
        if time.perf_counter() > deadline:
            raise RuntimeError(f"only {len(times)} of {len(watchers)} watchers have seen the write")
        for descriptor, _ in poll.poll(1):
            try:
                data = watchers[descriptor].recv(65536)
            except ssl.SSLWantReadError:
                continue
            if wanted in data:
                times.append(time.perf_counter())
    return times
