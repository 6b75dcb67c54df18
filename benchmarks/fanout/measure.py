"""
One write seen by 1,000 watchers: from sending the write to the event's having come to each watcher's socket, over TLS.

The kernel says when the bytes came (SO_TIMESTAMPNS), and the watchers are read only when the server is done: a thousand
clients that woke up and decrypted on the same two cores would take the server's time, and be counted as the server's.
Each event is decrypted and looked at afterwards, so what is counted is the right event and the whole of it.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time

from benchmarks.frame import TOKEN, Figure, Server, bare_server

WATCHERS, WRITES = 1_000, 30
PATH = "/api/v1/namespaces/default/configmaps"
SECONDS_MAX = 10.0
# From one write to the next, and to the reading of the watchers: several times what a delivery takes.
PAUSE_SECONDS = 0.2
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")


def measure() -> list[Figure]:
    with bare_server() as running:
        running.kubectl("create", "configmap", "seen", "--from-literal=number=0")
        delays = sorted(_delays(running))
    p99 = delays[int(len(delays) * 0.99)] * 1000
    return [Figure("one write seen by 1,000 watchers, p99", p99, 20, "ms", at_most=True)]


class _Watcher:
    """TLS on memory, so that each read of the socket brings the kernel's time with it."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self._plain = b""
        while not self._established():
            self._incoming.write(self.socket.recv(65536))

    def _established(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.socket.sendall(self._outgoing.read())
        return True

    def ask(self, method: str, path: str, body: bytes = b"") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += f"Content-Type: application/merge-patch+json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._tls.write(head.encode() + body)
        self.socket.sendall(self._outgoing.read())

    def seen(self, wanted: bytes) -> float | None:
        """When the bytes came that made `wanted` whole (seconds since the epoch); None if it is not there yet."""
        data, ancillary, _, _ = self.socket.recvmsg(65536, 64)
        self._incoming.write(data)
        while self._incoming.pending:
            try:
                self._plain += self._tls.read(65536)
            except ssl.SSLWantReadError:
                break
        if wanted not in self._plain:
            return None
        self._plain = b""
        seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
        return float(seconds + nanoseconds * 1e-9)


def _delays(running: Server) -> list[float]:
    """Every watcher's delay for every write, in seconds."""
    context = ssl.create_default_context(cadata=(running.directory / "data" / "pki" / "ca.crt").read_text())
    poll, watchers = select.epoll(), {}
    for _ in range(WATCHERS):
        opened = _Watcher(context, running.port)
        opened.ask("GET", f"{PATH}?watch=1")
        watchers[opened.socket.fileno()] = opened
        poll.register(opened.socket, select.EPOLLIN)
    _arrivals(poll, watchers, b'"number":"0"')
    writer = _Watcher(context, running.port)
    delays: list[float] = []
    for number in range(WRITES):
        time.sleep(PAUSE_SECONDS)
        sent = time.time()
        writer.ask("PATCH", f"{PATH}/seen", b'{"data":{"number":"n%d"}}' % number)
        time.sleep(PAUSE_SECONDS)
        delays += [at - sent for at in _arrivals(poll, watchers, b'"number":"n%d"' % number)]
        writer.seen(b"")
    for each in (writer, *watchers.values()):
        each.socket.close()
    return delays


def _arrivals(poll: select.epoll, watchers: dict[int, _Watcher], wanted: bytes) -> list[float]:
    """When each watcher's event came."""
    times: list[float] = []
    deadline = time.perf_counter() + SECONDS_MAX
    while len(times) < len(watchers):
        if time.perf_counter() > deadline:
            raise RuntimeError(f"only {len(times)} of {len(watchers)} watchers have seen the write")
        for descriptor, _ in poll.poll(1):
            at = watchers[descriptor].seen(wanted)
            if at is not None:
                times.append(at)
    return times
