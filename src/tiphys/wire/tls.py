"""
TLS over memory: bytes in, bytes out; the transport below stays plain.

asyncio's own TLS protocol keeps a buffer of 256 KiB for each connection and adds a layer of callbacks. A thousand idle
watches should cost what OpenSSL needs for them, and no more; so `Link` calls this engine directly, and all links of one
server share one receive buffer.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

# The most that one TLS record holds. OpenSSL gives one at a time; asking for more makes room that is given back.
RECORD_BYTES = 16384
# Plaintext handed to OpenSSL at once: bounds the ciphertext that waits in memory.
WRITE_BYTES = 131072


class Tls:
    """One side of one connection. `send` takes ciphertext to the transport."""

    __slots__ = ("_incoming", "_object", "_outgoing", "_send", "ended", "established")

    def __init__(
        self, context: ssl.SSLContext, send: Callable[[bytes], None], *, server_side: bool, server_name: str = ""
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name or None
        )
        self._send = send
        self.established = False
        self.ended = False  # the peer said that no more comes

    def handshake(self) -> bool:
        """Go on with the handshake; True when it is done. Raises ssl.SSLError, after the alert has been sent."""
        try:
            self._object.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
        finally:
            self._flush()
        return self.established

    def receive(self, ciphertext: bytes | memoryview) -> bytes:
        """Take what came from the network and give the plaintext in it, b"" if there is none yet."""
        self._incoming.write(ciphertext)
        if not self.established and not self.handshake():
            return b""
        plain: list[bytes] = []
        incoming, tls = self._incoming, self._object
        while incoming.pending or tls.pending():  # asking only then saves an exception for each request
            try:
                chunk = tls.read(RECORD_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:  # how it is told once our own side has ended
                chunk = b""
            if not chunk:
                self.ended = True
                break
            plain.append(chunk)
        if self._outgoing.pending:
            self._flush()
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def write(self, plaintext: bytes | bytearray | memoryview) -> None:
        """Encrypt and send all of it."""
        view, size, done = memoryview(plaintext), len(plaintext), 0
        while done < size:
            done += self._object.write(view[done : done + WRITE_BYTES])
            self._send(self._outgoing.read())

    def encrypted(self, plaintext: bytes | memoryview) -> bytes:
        """What to send for at most RECORD_BYTES: most writes, without a callback."""
        self._object.write(plaintext)
        return self._outgoing.read()

    def finish(self) -> None:
        """Tell the peer that no more comes (close_notify); reading may go on."""
        if not self.established:
            return
        try:
            self._object.unwrap()
        except ssl.SSLError:  # the peer's own close_notify is not awaited, or the connection has failed already
            pass
        self._flush()

    def certificate(self) -> bytes | None:
        """The peer's verified certificate (DER)."""
        return self._object.getpeercert(binary_form=True)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._send(data)
