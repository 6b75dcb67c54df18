"""TLS contexts: what a server shows and whom it believes, and the same for a client."""

from __future__ import annotations

import os
import ssl

from tiphys.pki.authority import KeyPair


def server_context(pair: KeyPair, *, client_authorities: bytes | None = None) -> ssl.SSLContext:
    """
    A server's context: TLS 1.2 or later, HTTP/1.1.

    With `client_authorities` (PEM bundle) a client may show a certificate, and one that they did not sign ends the
    handshake. No session tickets: clients of an API keep connections, and tickets cost memory on each one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    use(context, pair)
    if client_authorities is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=client_authorities.decode("ascii"))
    return context


def client_context(authorities: bytes | None, pair: KeyPair | None = None) -> ssl.SSLContext:
    """
    A client's context that believes `authorities` (PEM bundle; None: those of the system) and shows `pair`.

    The server's name is always checked.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=authorities.decode("ascii"))
    if pair is not None:
        use(context, pair)
    return context


def unverified_client_context(pair: KeyPair | None = None) -> ssl.SSLContext:
    """A client's context that believes anyone: for probes of pods, whose certificates nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        use(context, pair)
    return context


def use(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Show `pair` from the next handshake on; also for a context that is in use (rotation)."""
    # The ssl module reads files only. A memory file is never on a disk and gone when it is closed.
    descriptor = os.memfd_create("keypair", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as handle:
            handle.write(pair.key + b"\n" + pair.certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
