"""
A guest book: entries and a counter in Redis, title and greeting from files that a ConfigMap gives.

GET /         the page            GET /api      the same as JSON
POST /        adds an entry       GET /healthz  this process works      GET /readyz  Redis answers too
"""

import html
import json
import os
import queue
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

SETTINGS = Path(os.environ.get("SETTINGS_DIR", "/settings"))
VERSION = os.environ.get("APP_VERSION", "0")
REDIS = (os.environ.get("REDIS_HOST", "redis"), int(os.environ.get("REDIS_PORT_NUMBER", "6379")))
PASSWORD = os.environ.get("REDIS_PASSWORD", "")
ENTRIES_SHOWN = 10
ENTRY_LENGTH_MAX = 200
BODY_BYTES_MAX = 4096
PAGE = """<!doctype html><title>{title}</title><h1>{title}</h1><p>{greeting}</p>
<form method=post><input name=entry maxlength=200 autofocus><button>Sign</button></form><ul>{entries}</ul>
<small>{hits} visits; version {version} on {pod}</small>
"""


class Connection:
    """Redis' own protocol, as much of it as a guest book needs."""

    def __init__(self):
        self.socket = socket.create_connection(REDIS, timeout=2)
        self.file = self.socket.makefile("rb")
        if PASSWORD:
            self.ask("AUTH", PASSWORD)

    def ask(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in (str(word).encode() for word in words)]
        self.socket.sendall(b"".join(parts))
        return self._answer()

    def _answer(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ConnectionError(rest.decode())
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else None
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest.decode()

    def close(self):
        self.file.close()
        self.socket.close()


idle = queue.SimpleQueue()


def ask(*words):
    """One command, on an idle connection or a new one; an idle one that has died meanwhile is replaced."""
    while True:
        try:
            connection, fresh = idle.get_nowait(), False
        except queue.Empty:
            connection, fresh = Connection(), True
        try:
            answer = connection.ask(*words)
        except OSError:
            connection.close()
            if fresh:
                raise
            continue
        idle.put(connection)
        return answer


def setting(name):
    """Read anew each time: the file changes when the ConfigMap does."""
    try:
        return (SETTINGS / name).read_text().strip()
    except FileNotFoundError:
        return ""


def facts():
    return {
        "title": setting("title"),
        "greeting": setting("greeting"),
        "entries": ask("LRANGE", "entries", 0, ENTRIES_SHOWN - 1),
        "hits": ask("INCR", "hits"),
        "version": VERSION,
        "pod": socket.gethostname(),
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/healthz":
            return self.reply(200, "ok\n")
        if path == "/readyz":
            return self.guarded(lambda: self.reply(200, ask("PING") + "\n"))
        if path == "/api":
            return self.guarded(lambda: self.reply(200, json.dumps(facts()) + "\n", "application/json"))
        if path == "/":
            return self.guarded(lambda: self.reply(200, page(facts()), "text/html; charset=utf-8"))
        return self.reply(404, "there is no such page\n")

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if length > BODY_BYTES_MAX:
            self.close_connection = True
            return self.reply(413, "that is too long\n")
        entry = parse_qs(self.rfile.read(length).decode()).get("entry", [""])[0].strip()[:ENTRY_LENGTH_MAX]
        return self.guarded(lambda: self.sign(entry))

    def sign(self, entry):
        if entry:
            ask("LPUSH", "entries", entry)
            print("signed:", entry, flush=True)
        self.reply(303, "", more=(("Location", "/"),))

    def guarded(self, answer):
        """Redis may be away: that is 503, and the pod is not ready; it is no reason to die."""
        try:
            answer()
        except OSError as error:
            self.reply(503, f"Redis: {error}\n")

    def reply(self, status, text, media_type="text/plain", more=()):
        body = text.encode()
        self.send_response(status)
        if stopping.is_set():
            self.close_connection = True
            self.send_header("Connection", "close")
        for name, value in (("Content-Type", media_type), ("Content-Length", str(len(body))), *more):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        if self.path not in ("/healthz", "/readyz"):
            print(self.address_string(), format % args, flush=True)

    def address_string(self):
        return self.client_address[0]


def page(known):
    entries = "".join(f"<li>{html.escape(entry)}</li>" for entry in known["entries"])
    plain = {name: html.escape(str(value)) for name, value in known.items() if name != "entries"}
    return PAGE.format(entries=entries, **plain)


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = False


stopping = threading.Event()


def main():
    server = Server(("0.0.0.0", 8080), Handler)

    def stop(number, frame):
        stopping.set()
        # shutdown() waits for serve_forever(), which runs in this very thread.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"version {VERSION} listens on 8080", flush=True)
    server.serve_forever(poll_interval=0.05)
    server.server_close()  # waits for the requests under way
    print("stopped", flush=True)


main()
