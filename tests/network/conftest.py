"""Builders for the network's tests: a network of its own names, and sockets inside of pods."""

import contextlib
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tiphys.network import namespaces
from tiphys.network.kernel import KernelNetwork
from tiphys.network.settings import NetworkSettings


@pytest.fixture
def settings(tmp_path) -> NetworkSettings:
    return NetworkSettings(
        run_dir=tmp_path / "run", bridge="tipt0", pod_cidr="10.91.0.0/28", service_cidr="10.92.0.0/24",
        table="tiphystest", ready=2,
    )  # fmt: skip


@pytest.fixture
async def network(own_network, settings):
    network = KernelNetwork(settings)
    await network.open()
    yield network
    await network.purge()


def socket_in(lease, kind=socket.SOCK_STREAM) -> socket.socket:
    """A socket that belongs to the lease's namespace."""
    with namespaces.entered(Path(lease.path)):
        made = socket.socket(socket.AF_INET, kind)
    made.settimeout(3)
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


def ask(made: socket.socket, address: str, port: int) -> str:
    """Whom the server at the other end sees."""
    with made:
        made.settimeout(3)
        made.connect((address, port))
        return made.recv(100).decode()


def nft(*words: str) -> str:
    return subprocess.run(["nft", *words], check=True, capture_output=True, text=True).stdout
