"""Server and pool over TLS."""

import asyncio
import ssl

import pytest

from tiphys.pki import authority as ca
from tiphys.pki.tls import client_context, server_context
from tiphys.wire.messages import Request, Response
from tiphys.wire.pool import ConnectFailed, HttpPool
from tiphys.wire.reader import Limits

AUTHORITY = ca.create("test-ca")
SERVER = AUTHORITY.issue_server("api", ["127.0.0.1"])


async def who(request: Request) -> Response:
    name = ca.subject_of(request.certificate).name if request.certificate else "nobody"
    return Response(200, (), name.encode() + b" " + request.body[:10])


@pytest.fixture
async def secure(serve):
    async def make(handler=who, **options):
        return await serve(handler, tls=server_context(SERVER, client_authorities=AUTHORITY.bundle), **options)

    return make


def pool_to(server, pair=None, authorities=AUTHORITY.bundle) -> HttpPool:
    return HttpPool(f"https://127.0.0.1:{server.port}", tls=client_context(authorities, pair))


async def test_the_handler_gets_the_verified_certificate(secure):
    server = await secure()
    for pair, name in ((None, b"nobody "), (AUTHORITY.issue_client("alice"), b"alice ")):
        pool = pool_to(server, pair)
        assert (await pool(Request("GET", "/"))).body == name
        await pool.close()


async def test_large_bodies_pass_in_both_directions(secure):
    async def echo(request: Request) -> Response:
        return Response(200, (), request.body)

    pool = pool_to(await secure(echo))
    body = bytes(range(256)) * 10_000
    for _ in range(3):
        assert (await pool(Request("PUT", "/", {}, body))).body == body
    await pool.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_half_closes_work_over_tls(secure, version):
    async def shout(stream) -> None:
        received = b""
        while data := await stream.read():
            received += data
        await stream.write(received.upper())

    async def handler(request: Request) -> Response:
        return Response(101, (("Upgrade", "x"),), takeover=shout)

    context = client_context(AUTHORITY.bundle)
    context.minimum_version = context.maximum_version = version
    pool = HttpPool(f"https://127.0.0.1:{(await secure(handler)).port}", tls=context)
    stream = (await pool(Request("POST", "/", {"upgrade": "x"}))).stream
    await stream.write(b"quiet" * 50_000)
    await stream.close_output()
    received = b""
    while data := await stream.read():
        received += data
    assert received == b"QUIET" * 50_000
    await pool.close()


async def test_an_unknown_authority_is_named_in_the_error(secure):
    pool = pool_to(await secure(), authorities=ca.create("other").bundle)
    with pytest.raises(ConnectFailed, match=r"https://127\.0\.0\.1.*certificate verify failed"):
        await pool(Request("GET", "/"))


async def test_a_stranger_s_client_certificate_ends_the_handshake(secure):
    pool = pool_to(await secure(), ca.create("test-ca").issue_client("mallory"))
    with pytest.raises(ConnectionError):
        await pool(Request("GET", "/"))


async def test_plain_http_and_silence_on_a_tls_port_are_cut(secure, dial):
    server = await secure(limits=Limits(handshake_seconds=0.05))
    plain, silent = await dial(server), await dial(server)
    plain.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await asyncio.wait_for(silent.rest(), 5) == b""
    assert not (await plain.rest()).startswith(b"HTTP")
    assert server.connections == 0
