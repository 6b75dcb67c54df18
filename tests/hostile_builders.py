"""For bad clients: a server to attack, and raw connections to it that say exactly what a test says."""

import json
import socket
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass

from server_builders import serving

# What a healthy server needs at most, on a machine whose cores are all busy.
FAST_SECONDS = 1.0
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True)
class Heard:
    """What came back: `status` is 0 if the server closed without a word."""

    status: int
    body: bytes
    seconds: float

    @property
    def told(self):
        """The Status object."""
        found = json.loads(self.body)
        assert found["kind"] == "Status" and found["code"] == self.status, found
        return found


class Attacker:
    """Opens TLS connections to the server and sends bytes, with an administrator's token where asked."""

    def __init__(self, server):
        self.server = server
        self.growth_mb_max = 120

    @contextmanager
    def line(self):
        """One connection, for as long as the block lasts."""
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with CONTEXT.wrap_socket(plain) as secured:
            yield secured

    def send(self, data):
        """Send the bytes on a connection of their own and hear it to its end."""
        started = time.perf_counter()
        with self.line() as line:
            try:
                line.sendall(data)
            except OSError:
                pass  # refused before it was all sent; the answer says why
            answer = hear(line)
        head, _, body = answer.partition(b"\r\n\r\n")
        return Heard(int(head.split()[1]) if head else 0, body, time.perf_counter() - started)

    def ask(self, method, path, body=b"", *, kind="application/json", headers=b""):
        """A well-formed request, whatever is in it."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send(request(method, path, data, kind=kind, headers=headers))


def request(method, path, body=b"", *, kind="application/json", headers=b"", close=True):
    lines = [f"{method} {path} HTTP/1.1", "Host: a", "Authorization: Bearer secret", f"Content-Type: {kind}"]
    lines += ["Connection: close"] if close else []
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", ""]).encode() + headers + b"\r\n" + body


def hear(line):
    """Everything until the peer ends."""
    heard = []
    try:
        while data := line.recv(65536):
            heard.append(data)
    except (ConnectionError, ssl.SSLError):
        pass  # cut: what came before counts
    return b"".join(heard)


@contextmanager
def attacked_server(directory):
    """The bare API: what is measured is what the bad clients cost."""
    (directory / "tokens").write_text('secret,tester,1,"system:masters"\n')
    with serving(directory, "--no-controllers", "--token-file", str(directory / "tokens")) as server:
        yield server


@contextmanager
def attacking(server):
    """The attacker; afterwards the server must be as fast as ever and not much heavier."""
    attacker = Attacker(server)
    before = server.rss_mb
    yield attacker
    quick = min(attacker.ask("GET", "/api/v1/namespaces/default").seconds for _ in range(3))
    growth = server.rss_mb - before
    assert (quick < FAST_SECONDS, growth < attacker.growth_mb_max) == (True, True), (quick, growth)
