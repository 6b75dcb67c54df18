"""Sockets inside of leases, small servers and clients for them."""

import asyncio
import contextlib
import socket
import subprocess
import threading
from pathlib import Path

from tiphys.network import namespaces

# A machine that takes down many namespaces at once lets a new link wait for seconds.
PATIENCE_SECONDS = 10


def socket_in(lease, kind=socket.SOCK_STREAM) -> socket.socket:
    """A socket that belongs to the lease's namespace."""
    with namespaces.entered(Path(lease.path)):
        made = socket.socket(socket.AF_INET, kind)
    made.settimeout(PATIENCE_SECONDS)
    return made


@contextlib.contextmanager
def serving(made: socket.socket, port: int):
    """Answer each connection with the address of the peer."""
    made.bind(("0.0.0.0", port))
    made.listen(50)
    made.settimeout(None)

    def work() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = made.accept()
                with connection:
                    connection.sendall(peer[0].encode())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            made.shutdown(socket.SHUT_RDWR)
        made.close()
        thread.join()


def ask(made: socket.socket, address: str, port: int, seconds: float = PATIENCE_SECONDS) -> str:
    """Whom the server at the other end sees."""
    with made:
        made.settimeout(seconds)
        made.connect((address, port))
        return made.recv(100).decode()


async def call(made, address, port):
    return await asyncio.to_thread(ask, made, address, port)


def nft(*words: str) -> str:
    return subprocess.run(["nft", *words], check=True, capture_output=True, text=True).stdout
