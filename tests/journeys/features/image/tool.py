"""The test image's one program: small servers that say who answers and who asked, and clients for what curl cannot ask.

tool.py http PORT | udp PORT | grpc PORT | ask-udp HOST PORT | connect HOST PORT | dns NAME TYPE
tool.py hold DIRECTORY NAME SECONDS
"""

import fcntl
import os
import signal
import socket
import socketserver
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("POD_NAME") or socket.gethostname()
TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "SRV": 33}


class Page(BaseHTTPRequestHandler):
    """`<pod> <client address>`; /status/N answers N; /file/PATH answers 200 while the file is there."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        code = 200
        if self.path.startswith("/status/"):
            code = int(self.path.rsplit("/", 1)[1])
        elif self.path.startswith("/file/"):
            code = 200 if os.path.exists(self.path[5:]) else 503
        asked = self.headers.get("X-Test", "")
        body = f"{NAME} {self.client_address[0]} {self.path} {asked}\n".encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        print(self.client_address[0], self.path, flush=True)


def http(port):
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("", int(port)), Page).serve_forever()


def udp(port):
    """Each datagram is answered with `<pod> <client address>`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", int(port)))
        while True:
            _, client = sock.recvfrom(2048)
            sock.sendto(f"{NAME} {client[0]}\n".encode(), client)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field that is in no table, not Huffman coded."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Health(socketserver.StreamRequestHandler):
    """Just enough HTTP/2 to answer grpc.health.v1.Health/Check : SERVING, unless there is /tmp/sick."""

    def handle(self):
        self.rfile.read(24)
        self.wfile.write(frame(4, 0, 0))
        while head := self.rfile.read(9):
            length, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], head[5:9]
            payload = self.rfile.read(length)
            if kind == 4 and not flags & 1:
                self.wfile.write(frame(4, 1, 0))
            elif kind == 6 and not flags & 1:
                self.wfile.write(frame(6, 1, 0, payload))
            elif kind == 0 and flags & 1:
                self.answer(int.from_bytes(stream, "big"))

    def answer(self, stream):
        status = 2 if os.path.exists("/tmp/sick") else 1
        headers = b"\x88" + literal(b"content-type", b"application/grpc")
        self.wfile.write(frame(1, 4, stream, headers))
        self.wfile.write(frame(0, 0, stream, b"\0\0\0\0\x02\x08" + bytes((status,))))
        self.wfile.write(frame(1, 5, stream, literal(b"grpc-status", b"0")))


def grpc(port):
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer(("", int(port)), Health).serve_forever()


def ask_udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect((host, int(port)))
        sock.send(b"who")
        print(sock.recv(2048).decode(), end="")


def connect(host, port):
    """Say how a connection goes, and how long that took."""
    started = time.monotonic()
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        print("connected")
    except OSError as error:
        print(type(error).__name__, f"{time.monotonic() - started:.0f}")


def hold(directory, name, seconds):
    """Hold a lock that the kernel frees when this process ends; who finds it held writes the name to `twice`."""
    with open(f"{directory}/{name}.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with open(f"{directory}/twice", "a") as twice:
                twice.write(name + "\n")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        time.sleep(float(seconds))


def read_name(message, at):
    labels = []
    while length := message[at]:
        if length & 0xC0:
            rest, _ = read_name(message, struct.unpack_from(">H", message, at)[0] & 0x3FFF)
            return ".".join([*labels, rest]), at + 2
        labels.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels), at + 1


def read_data(message, kind, at, length):
    if kind == TYPES["A"]:
        return socket.inet_ntoa(message[at : at + 4])
    if kind == TYPES["SRV"]:
        return f"{struct.unpack_from('>3H', message, at)[2]} {read_name(message, at + 6)[0]}"
    if kind in (TYPES["CNAME"], TYPES["PTR"]):
        return read_name(message, at)[0]
    return message[at : at + length].hex()


def dns(name, kind):
    """The code of the answer, then a line a record: asks the first server of /etc/resolv.conf."""
    with open("/etc/resolv.conf") as file:
        server = next(line.split()[1] for line in file if line.startswith("nameserver"))
    question = b"".join(bytes((len(part),)) + part.encode() for part in name.rstrip(".").split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(8)
        sock.connect((server, 53))
        sock.send(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + question + struct.pack(">2H", TYPES[kind], 1))
        message = sock.recv(4096)
    _, flags, _, answers, _, _ = struct.unpack_from(">6H", message)
    print({0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}.get(flags & 15, flags & 15))
    at = read_name(message, 12)[1] + 4
    for _ in range(answers):
        owner, at = read_name(message, at)
        found, _, _, length = struct.unpack_from(">2HIH", message, at)
        print(owner, found, read_data(message, found, at + 10, length))
        at += 10 + length


if __name__ == "__main__":
    # The first process of a container is stopped only by signals that it handles.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
