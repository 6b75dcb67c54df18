"""Sockets that a keeper holds: what comes while nobody listens waits for the next one."""

import os
import socket

import pytest

from tiphys.dns.server import bind
from tiphys.network import kept_sockets


@pytest.fixture
def owner(tmp_path):
    yield tmp_path
    kept_sockets.drop(tmp_path)


def close(pair):
    for one in pair:
        one.close()


def is_free(port):
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def opened(owner):
    """A first pair at a free port, and the address: below the ports that whoever asks for any may get meanwhile."""
    first = 20_000 + os.getpid() % 10_000
    address = ("127.0.0.1", next(port for port in range(first, first + 2_000) if is_free(port)))
    return kept_sockets.bound(owner, address, bind), address


def test_what_comes_meanwhile_is_received_by_the_next(owner):
    first, address = opened(owner)
    first[1].listen()
    close(first)
    with socket.create_connection(address), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"waiting", address)
        udp, tcp = kept_sockets.bound(owner, address, bind)
        udp.settimeout(5)
        assert udp.recv(100) == b"waiting"
        close([tcp.accept()[0], udp, tcp])


def test_an_address_of_before_is_given_up(owner):
    first, address = opened(owner)
    close(first)
    second, _ = opened(owner)
    close(second)
    close(bind(*address))


def test_what_cannot_be_taken_over_is_opened_afresh(owner, monkeypatch):
    first, address = opened(owner)
    close(first)
    monkeypatch.setattr(kept_sockets, "PIDFD_GETFD", 1_000_000)
    again = kept_sockets.bound(owner, address, bind)
    assert again[0].getsockname() == address
    close(again)


def test_other_owners_are_left_alone(owner, tmp_path):
    first, address = opened(owner)
    close(first)
    kept_sockets.drop(tmp_path / "other")
    with pytest.raises(OSError, match="in use"):
        bind(*address)
    kept_sockets.drop(owner)
    close(bind(*address))
