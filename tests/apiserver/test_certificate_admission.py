"""Who asks for, approves and signs certificates."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apiserver.security_builders import BOB, World, attributes, rule
from tiphys.api.errors import StatusError
from tiphys.apiserver.admission import certificates
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.pki.requests import organizations_of

GROUP = certificates.GROUP
REQUESTS = certificates.REQUESTS


def request_of(*organizations):
    """A certificate signing request, as objects hold it."""
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def csr(signer="example.com/x", status=None, **spec):
    return {"metadata": {"name": "c"}, "spec": {"signerName": signer, **spec}, "status": status or {}}


def asked(obj, old=None, subresource=""):
    name = f"{REQUESTS}/{subresource}" if subresource else REQUESTS
    return attributes(obj, old=old, resource=name, group=GROUP)


def test_the_requester_is_who_sends_the_request():
    made = asked(csr(username="forged", groups=["system:masters"]))
    certificates.requester().mutate(made)
    assert made.object["spec"] == {"signerName": "example.com/x", "username": "bob", "groups": ["system:authenticated"]}


def test_what_was_asked_for_never_changes():
    changed = asked(csr("example.com/other"), csr(), "status")
    certificates.requester().mutate(changed)
    assert changed.object["spec"]["signerName"] == "example.com/x"


def test_nobody_asks_for_the_masters_group():
    wanted = csr(certificates.CLIENT_SIGNER, request=request_of("system:masters"))
    with pytest.raises(StatusError, match='signer with "system:masters" group is not allowed'):
        certificates.subject_restriction().validate(asked(wanted))
    fine = csr(certificates.CLIENT_SIGNER, request=request_of("devs"))
    assert certificates.subject_restriction().validate(asked(fine)) is None


def test_what_is_no_request_names_nobody():
    assert organizations_of("not base64!") == organizations_of("bm9uZQ==") == ()


@pytest.fixture
def world():
    found = World()
    found.authorizer = Authorizer(Rbac(found.cache))
    return found


@pytest.mark.parametrize("name", ["example.com/x", "example.com/*"])
def test_approving_takes_the_right_for_the_signer(world, name):
    plugin = certificates.approval(world.authorizer)
    with pytest.raises(StatusError, match="user not permitted to approve requests"):
        plugin.validate(asked(csr(), csr(), "approval"))
    world.role("approver", rule("approve", "signers", name, group=GROUP))
    world.bind("approver", BOB.name)
    assert certificates.approval(Authorizer(Rbac(world.cache))).validate(asked(csr(), csr(), "approval")) is None


def test_signing_takes_the_right_for_the_signer(world):
    plugin = certificates.signing(world.authorizer)
    with pytest.raises(StatusError, match="user not permitted to sign requests"):
        plugin.validate(asked(csr(status={"certificate": "x"}), csr(), "status"))
    assert plugin.validate(asked(csr(), csr(), "status")) is None
