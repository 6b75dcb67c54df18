"""
The audit log: who did what, one JSON line for each answered call, at Kubernetes' Metadata level.

Bodies are never written, and of the query only what names no secret. A line is put together at once, and of it only the
number and the times are new where somebody asks the same again; a thread of its own writes lines in batches, so no
request waits for the disk. What does not fit its bounded queue is dropped, counted, and said in a line of the log
itself as soon as there is room.

Rejected: `logging` with a RotatingFileHandler, which writes in the caller's thread; and putting lines together in the
writer's thread, which takes the interpreter away from the event loop for milliseconds at a time.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from tiphys.api.objects import timestamp
from tiphys.api.resources import Resource
from tiphys.apiserver.call import Call
from tiphys.wire.messages import Identity

log = logging.getLogger(__name__)

# Lines that may wait for the writer: a second of the highest load, some 10 MB.
QUEUE_MAX = 20_000
# Batches make few writes of many lines.
BATCH_SECONDS = 0.1
MEBIBYTE = 1024 * 1024
AGENT_LENGTH_MAX = 512
URI_LENGTH_MAX = 2048
# Who asked what: kept as text, because clients ask the same again and again. When it is full it starts again.
KEPT_MAX = 4_096
# Asked every few seconds by everybody who watches over the server; says nothing about who did what.
_UNTOLD = ("/healthz", "/livez", "/readyz", "/metrics")
_SECRET_PARAMETERS = frozenset(("token", "access_token", "password", "authorization"))


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`path` is the file that is written; older ones are `path`.1, `path`.2 and so on, `files_max` in all."""

    path: Path
    file_bytes_max: int = 100 * MEBIBYTE
    files_max: int = 10


class AuditLog:
    """The Auditor door. `close` writes what waits."""

    def __init__(self, settings: AuditSettings, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._queue: deque[bytes] = deque()
        self._waking = threading.Event()
        self._closing = threading.Event()
        self._dropped = 0
        self._told_failure = False
        self._kept: dict[tuple[str, str, int, str, str], _Kept] = {}
        settings.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def record(self, call: Call, status: int, seconds: float) -> None:
        """See the Auditor door."""
        if call.path.startswith(_UNTOLD):
            return
        if len(self._queue) >= QUEUE_MAX:
            self._dropped += 1
            return
        self._queue.append(_line(self._text(call, status), seconds, self._now()))
        if not self._waking.is_set():
            self._waking.set()

    def _text(self, call: Call, status: int) -> bytes:
        """What a line says of who asked what: as it was put together when they asked it before."""
        request = call.request
        key = (request.target, call.verb, status, request.peer, request.headers.get("user-agent", ""))
        kept = self._kept.get(key)
        if kept is not None and kept.user is call.user and kept.impersonator is call.impersonator:
            return kept.text
        text = orjson.dumps(_told(call, status))[1:-1]
        if len(request.target) <= URI_LENGTH_MAX and len(key[-1]) <= AGENT_LENGTH_MAX:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[key] = _Kept(call.user, call.impersonator, text)
        return text

    @property
    def dropped(self) -> int:
        """Calls that are not yet told to be missing."""
        return self._dropped

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._closing.set()
        self._waking.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._waking.wait()
            self._closing.wait(BATCH_SECONDS)
            self._waking.clear()
            self._write_waiting()
            if self._closing.is_set() and not self._queue:
                return

    def _write_waiting(self) -> None:
        lines = [self._queue.popleft() for _ in range(len(self._queue))]
        count = len(lines)
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(orjson.dumps({"kind": "Dropped", "apiVersion": "audit.tiphys.dev/v1", "count": dropped}))
        if not lines:
            return
        try:
            self._append(b"\n".join(lines) + b"\n")
            self._told_failure = False
        except OSError as error:
            # A full disk must not stop the API. Said once, until writing works again.
            self._dropped += count + dropped
            if not self._told_failure:
                self._told_failure = True
                log.error("cannot write the audit log %s: %s", self._settings.path, error.strerror)

    def _append(self, data: bytes) -> None:
        path = self._settings.path
        size = path.stat().st_size if path.exists() else 0
        if size and size + len(data) > self._settings.file_bytes_max:
            _rotate(path, self._settings.files_max)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)


def _rotate(path: Path, files_max: int) -> None:
    """Each file moves one place on; the last one goes."""
    for number in range(files_max - 1, 1, -1):
        older = path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{number}"))
    if files_max > 1:
        path.rename(path.with_name(f"{path.name}.1"))
    else:
        path.unlink()


# Random once for the process, then counted: making a random UUID for each line would cost more than the line.
_ID_PREFIX = str(uuid.uuid4())[:24].encode()
_numbers = itertools.count()
_LINE = (
    b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"'
    + _ID_PREFIX
    + b'%012x",%b,"requestReceivedTimestamp":"%b.%06dZ","stageTimestamp":"%b.%06dZ"}'
)


@dataclass(frozen=True, slots=True)
class _Kept:
    """`text` holds for these very identities: equal names may stand for others tomorrow."""

    user: Identity
    impersonator: Identity | None
    text: bytes


def event(call: Call, status: int, seconds: float, now: float) -> dict[str, Any]:
    """An audit.k8s.io/v1 Event at level Metadata."""
    decoded: dict[str, Any] = orjson.loads(_line(orjson.dumps(_told(call, status))[1:-1], seconds, now))
    return decoded


def _line(text: bytes, seconds: float, now: float) -> bytes:
    """An Event with its number and its times."""
    then = now - seconds
    received, staged = int(then), int(now)
    return _LINE % (
        next(_numbers),
        text,
        timestamp(received)[:-1].encode(),
        (then - received) * 1e6,
        timestamp(staged)[:-1].encode(),
        (now - staged) * 1e6,
    )


def _told(call: Call, status: int) -> dict[str, Any]:
    """Who asked what with what outcome: all of an Event that is the same when it is asked again."""
    request = call.request
    told: dict[str, Any] = {
        "stage": "ResponseStarted" if call.verb == "watch" else "ResponseComplete",
        "requestURI": _uri(request.target),
        "verb": call.verb,
        "user": _user(call.impersonator or call.user),
    }
    if call.impersonator is not None:
        told["impersonatedUser"] = _user(call.user)
    told["sourceIPs"] = [_address(request.peer)] if request.peer else []
    told["userAgent"] = request.headers.get("user-agent", "")[:AGENT_LENGTH_MAX]
    if call.resource is not None:
        told["objectRef"] = _object_reference(call, call.resource)
    told["responseStatus"] = {"metadata": {}, "code": status}
    return told


def _address(peer: str) -> str:
    """Of `address:port`, with the brackets that an IPv6 address has there."""
    return peer.rpartition(":")[0].strip("[]") or peer


def _user(identity: Identity) -> dict[str, Any]:
    told: dict[str, Any] = {"username": identity.name}
    if identity.uid:
        told["uid"] = identity.uid
    told["groups"] = identity.groups
    if identity.extra:
        told["extra"] = identity.extra
    return told


def _object_reference(call: Call, resource: Resource) -> dict[str, str]:
    told = {"resource": resource.name.partition("/")[0]}
    if call.namespace:
        told["namespace"] = call.namespace
    if call.name:
        told["name"] = call.name
    if resource.group:
        told["apiGroup"] = resource.group
    told["apiVersion"] = resource.version
    if call.subresource:
        told["subresource"] = call.subresource
    return told


def _uri(target: str) -> str:
    """The target without values that may be secrets."""
    path, separator, query = target.partition("?")
    if not separator:
        return target[:URI_LENGTH_MAX]
    if any(name in query.lower() for name in _SECRET_PARAMETERS):
        pairs = parse_qsl(query, keep_blank_values=True)
        query = urlencode([(k, "<redacted>" if k.lower() in _SECRET_PARAMETERS else v) for k, v in pairs])
    return (path + separator + query)[:URI_LENGTH_MAX]
