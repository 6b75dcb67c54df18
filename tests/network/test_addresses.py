"""Which address a lease gets."""

import ipaddress

import pytest

from tiphys.network.addresses import Addresses
from tiphys.network.door import AddressesExhausted

SUBNET = ipaddress.IPv4Network("10.1.0.0/29")  # gateway .1, leases .2 to .6


def test_never_gives_network_gateway_or_broadcast():
    addresses = Addresses(SUBNET)
    assert [addresses.take() for _ in range(5)] == [f"10.1.0.{n}" for n in range(2, 7)]
    with pytest.raises(AddressesExhausted):
        addresses.take()


def test_leaves_out_what_is_in_use():
    assert Addresses(SUBNET, ["10.1.0.2", "10.1.0.3"]).take() == "10.1.0.4"


def test_uses_a_returned_address_as_late_as_possible():
    addresses = Addresses(SUBNET)
    first = addresses.take()
    addresses.give_back(first)
    assert [addresses.take() for _ in range(5)][-1] == first


def test_an_address_is_given_back_once():
    addresses = Addresses(SUBNET)
    first = addresses.take()
    addresses.give_back(first)
    addresses.give_back(first)
    assert len({addresses.take() for _ in range(5)}) == 5
    with pytest.raises(AddressesExhausted):
        addresses.take()


def test_an_adopted_address_can_be_given_back_and_taken():
    addresses = Addresses(SUBNET, ["10.1.0.2"])
    addresses.give_back("10.1.0.2")
    assert sorted(addresses.take() for _ in range(5))[0] == "10.1.0.2"
