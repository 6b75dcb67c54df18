"""HTTP checks: one GET on a connection of its own, by hand, because a probe must not share or reuse anything."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from tiphys.node.probes.outcome import OUTPUT_BYTES_MAX, Outcome

REDIRECTS_MAX = 10
HEAD_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    scheme: str
    host: str
    port: int
    path: str
    headers: Sequence[tuple[str, str]] = ()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    location: str
    body: bytes


class Refused(Exception):
    """No HTTP answer came; the message tells why, as Go's client words it."""


@functools.cache
def tls_context() -> ssl.SSLContext:
    """
    Certificates of pods are not checked: the node has no authority that could know them. One context for all, without
    the system's authorities, whose loading would cost more than the check.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def check(target: Target, timeout_seconds: float) -> Outcome:
    """Healthy is 200 to 399. Redirects on the same host are followed; to another host they pass with a warning."""
    here = target
    try:
        async with asyncio.timeout(timeout_seconds):
            for _ in range(REDIRECTS_MAX):
                answer = await get(here)
                following = _redirected(here, answer)
                if following is None:
                    return _judged(answer)
                if following.host != target.host:
                    return Outcome(True, f"Probe terminated redirects, Response body: {_text(answer)}", warning=True)
                here = following
    except TimeoutError:
        return Outcome(
            False, f'Get "{here.url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        )
    except Refused as error:
        return Outcome(False, f'Get "{here.url}": {error}')
    return Outcome(False, f'Get "{here.url}": stopped after {REDIRECTS_MAX} redirects')


def _judged(answer: Answer) -> Outcome:
    if 200 <= answer.status < 400:
        return Outcome(True, _text(answer))
    return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")


def _text(answer: Answer) -> str:
    return answer.body.decode("utf-8", "replace")


def _redirected(target: Target, answer: Answer) -> Target | None:
    if answer.status not in (301, 302, 303, 307, 308) or not answer.location:
        return None
    parts = urlsplit(urljoin(target.url, answer.location))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return replace(target, scheme=parts.scheme, host=parts.hostname or target.host, port=port, path=path)


async def get(target: Target) -> Answer:
    """One GET; Refused when nothing that is HTTP comes back."""
    context = tls_context() if target.scheme == "https" else None
    try:
        reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context, limit=HEAD_BYTES_MAX)
    except OSError as error:
        raise Refused(dial_error(target.host, target.port, error)) from error
    try:
        writer.write(_request(target))
        return await _answer(reader)
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Refused(_broken(error)) from error
    finally:
        writer.transport.abort()


def _request(target: Target) -> bytes:
    given = {name.lower() for name, _ in target.headers}
    standard = [("Host", f"{target.host}:{target.port}"), ("User-Agent", "kube-probe/1.36"), ("Accept", "*/*")]
    headers = [*(pair for pair in standard if pair[0].lower() not in given), *target.headers, ("Connection", "close")]
    lines = [f"GET {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f'malformed HTTP response "{first[:80]}"')
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = b""
    length = headers.get("content-length")
    if headers.get("transfer-encoding", "").lower() != "chunked" and length != "0":
        wanted = min(int(length), OUTPUT_BYTES_MAX) if length else OUTPUT_BYTES_MAX
        body = await reader.read(wanted)
    return Answer(int(rest[:3]), headers.get("location", ""), body)


def dial_error(host: str, port: int, error: OSError) -> str:
    """As Go says that no connection could be made."""
    known = {111: "connection refused", 113: "no route to host", 101: "network is unreachable", 110: "i/o timeout"}
    text = known.get(error.errno or 0, (error.strerror or str(error)).lower())
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"dial tcp {address}: connect: {text}"


def _broken(error: Exception) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return "EOF"
    if isinstance(error, ConnectionResetError):
        return "read: connection reset by peer"
    return f"net/http: HTTP/1.x transport connection broken: {error}"
