"""What an authority issues is believed where it should be, and nowhere else."""

import ssl
import stat
import time

import pytest

from tiphys.pki import authority as ca
from tiphys.pki.tls import client_context, server_context, use


@pytest.fixture(scope="module")
def authority() -> ca.Authority:
    return ca.create("test-ca")


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both sides over memory. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    try:
        theirs.read()  # an alert of the server arrives after the client's side is done
    except ssl.SSLWantReadError:
        pass
    return ours, theirs


@pytest.mark.parametrize("name", ["api.local", "127.0.0.1", "::1"])
def test_a_server_is_believed_under_each_of_its_addresses(authority, name):
    server = server_context(authority.issue_server("api", ["api.local", "127.0.0.1", "::1"]))
    _, client = handshake(server, client_context(authority.bundle), name)
    assert client.selected_alpn_protocol() is None or client.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("name", ["other.local", "127.0.0.2"])
def test_a_server_is_not_believed_under_another_address(authority, name):
    server = server_context(authority.issue_server("api", ["api.local", "127.0.0.1"]))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client_context(authority.bundle), name)


def test_the_server_learns_who_the_client_is(authority):
    server = server_context(authority.issue_server("api", ["a"]), client_authorities=authority.bundle)
    pair = authority.issue_client("system:node:n1", ["system:nodes", "others"])
    ours, _ = handshake(server, client_context(authority.bundle, pair), "a")
    subject = ca.subject_of(ours.getpeercert(binary_form=True))
    assert (subject.name, subject.organizations) == ("system:node:n1", ("system:nodes", "others"))


def test_a_client_without_a_certificate_is_let_in_and_one_of_a_stranger_is_not(authority):
    server = server_context(authority.issue_server("api", ["a"]), client_authorities=authority.bundle)
    ours, _ = handshake(server, client_context(authority.bundle), "a")
    assert ours.getpeercert(binary_form=True) is None
    stranger = ca.create("test-ca").issue_client("system:admin", ["system:masters"])
    with pytest.raises(ssl.SSLError):
        handshake(server, client_context(authority.bundle, stranger), "a")


def test_a_server_certificate_is_no_client_certificate(authority):
    server = server_context(authority.issue_server("api", ["a"]), client_authorities=authority.bundle)
    with pytest.raises(ssl.SSLError):
        handshake(server, client_context(authority.bundle, authority.issue_server("a", ["a"])), "a")


def test_what_the_strictest_clients_ask_of_a_chain_is_there(authority):
    client = client_context(authority.bundle)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    handshake(server_context(authority.issue_server("api", ["a"])), client, "a")


def test_rotation_trusts_the_old_and_issues_with_the_new(authority):
    old_pair = authority.issue_server("api", ["a"])
    rotated = authority.rotated()
    new_pair = rotated.issue_server("api", ["a"])
    for pair in (old_pair, new_pair):
        handshake(server_context(pair), client_context(rotated.bundle), "a")
    assert ca.is_due(old_pair, rotated, now=time.time())
    assert not ca.is_due(new_pair, rotated, now=time.time(), addresses=["a"])


def test_a_context_in_use_takes_a_new_certificate(authority):
    other = ca.create("other-ca")
    server = server_context(authority.issue_server("api", ["a"]))
    use(server, other.issue_server("api", ["a"]))
    handshake(server, client_context(other.bundle), "a")


def test_a_certificate_is_due_before_its_end_and_when_an_address_is_missing(authority):
    pair = authority.issue_server("api", ["a"], days=300)
    day = 86400
    assert not ca.is_due(pair, authority, now=time.time() + 190 * day, addresses=["a"])
    assert ca.is_due(pair, authority, now=time.time() + 210 * day)
    assert ca.is_due(pair, authority, now=time.time(), addresses=["a", "b"])


def test_an_authority_is_made_once_and_kept_private(tmp_path):
    first = ca.load_or_create(tmp_path / "pki", "ca", "test-ca")
    assert ca.load_or_create(tmp_path / "pki", "ca", "test-ca").bundle == first.bundle
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()}
    assert modes == {"ca.crt": 0o600, "ca.key": 0o600}


def test_half_an_authority_is_an_error(tmp_path):
    ca.load_or_create(tmp_path, "ca", "test-ca")
    (tmp_path / "ca.key").unlink()
    with pytest.raises(FileNotFoundError):
        ca.load_or_create(tmp_path, "ca", "test-ca")


def test_a_key_of_another_authority_is_refused(authority):
    with pytest.raises(ValueError):
        ca.Authority(authority.bundle, ca.create("x").pair.key)


def test_secrets_are_not_shown(authority):
    assert "PRIVATE" not in repr(authority.pair)
