"""
gRPC health checks: one unary call of grpc.health.v1.Health/Check over HTTP/2, by hand.

A gRPC library would cost 20 MB for one call. What is needed of HTTP/2 is small: the preface, settings, one HEADERS
frame whose fields are sent as literals (HPACK needs no table for that), one DATA frame. Of the answer only the
message is read; header blocks of the server are not decoded, since the health is in the message.
"""

from __future__ import annotations

import asyncio
import struct

from tiphys.node.probes.http import dial_error
from tiphys.node.probes.outcome import Outcome

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
FRAME_BYTES_MAX = 16_384
STREAM = 1

# HealthCheckResponse.ServingStatus
SERVING = 1
STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


class Broken(Exception):
    """The peer does not speak gRPC, or not this service."""


async def check(host: str, port: int, service: str, timeout_seconds: float) -> Outcome:
    address = f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout_seconds):
            status = await _ask(host, port, service)
    except TimeoutError:
        within = f"{timeout_seconds:g}s"
        return Outcome(
            False, f'timeout: failed to connect service "{address}" within {within}: context deadline exceeded'
        )
    except OSError as error:
        cause = dial_error(host, port, error)
        return Outcome(False, f'error: failed to connect service "{address}": {cause}')
    except (Broken, asyncio.IncompleteReadError) as error:
        return Outcome(False, f"error: health rpc failed: {error}")
    if status == SERVING:
        return Outcome(True, "service healthy")
    return Outcome(False, f'service unhealthy (responded with "{STATUS_NAMES.get(status, status)}")')


async def _ask(host: str, port: int, service: str) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b"") + _request(f"{host}:{port}", service))
        return await _status(reader, writer)
    finally:
        writer.transport.abort()


def _request(authority: str, service: str) -> bytes:
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.36"),
    ]
    name = service.encode()
    # HealthCheckRequest: field 1, a string.
    message = b"\x0a" + varint(len(name)) + name if name else b""
    body = struct.pack(">BI", 0, len(message)) + message
    block = b"".join(literal(name, value) for name, value in fields)
    return frame(HEADERS, END_HEADERS, STREAM, block) + frame(DATA, END_STREAM, STREAM, body)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """HPACK: literal header field without indexing, new name, no Huffman coding."""
    return b"\x00" + hpack_string(name.encode()) + hpack_string(value.encode())


def hpack_string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    return b"\x7f" + varint(len(text) - 127) + text


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Read frames until the message of the answer is whole."""
    body = b""
    while True:
        head = await reader.readexactly(9)
        length = int.from_bytes(head[:3], "big")
        if length > FRAME_BYTES_MAX:
            raise Broken("the answer is no HTTP/2")
        kind, flags = head[3], head[4]
        payload = await reader.readexactly(length)
        if kind == SETTINGS and not flags & ACK:
            writer.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            writer.write(frame(PING, ACK, 0, payload))
        elif kind == DATA:
            body += payload[1 : len(payload) - payload[0]] if flags & PADDED else payload
            if len(body) >= 5 and len(body) >= 5 + int.from_bytes(body[1:5], "big"):
                return parse_status(body[5 : 5 + int.from_bytes(body[1:5], "big")])
        elif kind in (RST_STREAM, GOAWAY):
            raise Broken("the server ended the call")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            raise Broken("the server does not implement the grpc health protocol (grpc.health.v1.Health)")


def parse_status(message: bytes) -> int:
    """HealthCheckResponse: field 1, an enum; absent is UNKNOWN."""
    if not message:
        return 0
    if message[0] != 0x08 or len(message) < 2:
        raise Broken("the answer is no HealthCheckResponse")
    return message[1]
