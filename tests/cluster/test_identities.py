"""The keys of a cluster: made once, kept, and issued again when they have to be."""

import dataclasses

from tiphys.cluster import identities
from tiphys.cluster.settings import Settings
from tiphys.pki import authority


def settings(tmp_path):
    return Settings(data_dir=tmp_path, node_name="n1")


def test_keys_are_made_once(tmp_path):
    first = identities.load_or_create(settings(tmp_path), "192.0.2.7")
    again = identities.load_or_create(settings(tmp_path), "192.0.2.7")
    assert (first.server, first.admin) == (again.server, again.admin)


def test_a_new_address_gets_a_new_certificate_of_the_same_authority(tmp_path):
    first = identities.load_or_create(settings(tmp_path), "192.0.2.7")
    moved = identities.load_or_create(settings(tmp_path), "192.0.2.8")
    assert moved.authority.bundle == first.authority.bundle and moved.admin == first.admin
    assert "192.0.2.8" in authority.addresses_of(moved.server.certificate)


def test_the_server_is_known_by_every_name_it_is_reached_by(tmp_path):
    keys = identities.load_or_create(settings(tmp_path), "192.0.2.7")
    names = {"127.0.0.1", "localhost", "192.0.2.7", "10.96.0.1", "n1", "kubernetes.default.svc.cluster.local"}
    assert names <= set(authority.addresses_of(keys.server.certificate))


def test_the_administrator_is_a_master(tmp_path):
    admin = authority.subject_of_pem(identities.load_or_create(settings(tmp_path), "").admin.certificate)
    assert (admin.name, admin.organizations) == ("kubernetes-admin", ("system:masters",))


def test_an_address_that_was_chosen_is_advertised(tmp_path):
    chosen = dataclasses.replace(settings(tmp_path), advertise="192.0.2.9")
    assert identities.advertised_address(chosen) == "192.0.2.9"


def test_no_loopback_address_is_advertised(tmp_path):
    assert not identities.advertised_address(settings(tmp_path)).startswith("127.")
