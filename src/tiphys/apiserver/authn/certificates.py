"""Who a client certificate names: the common name is the user, the organizations are its groups."""

from __future__ import annotations

import functools
import hashlib

from tiphys.apiserver.authn.groups import CREDENTIAL_ID, with_authenticated
from tiphys.pki.authority import subject_of
from tiphys.wire.messages import Identity

# Certificates whose reading is kept; every request of a connection asks for the same one.
KEPT_MAX = 4096


@functools.lru_cache(maxsize=KEPT_MAX)
def identity_of(certificate: bytes) -> tuple[Identity, float] | None:
    """
    The identity in a certificate (DER) that the TLS layer has verified, and when it ends (Unix seconds).

    None if it names nobody. The caller compares the end with the clock: a connection may outlive its certificate.
    """
    subject = subject_of(certificate)
    if not subject.name:
        return None
    fingerprint = hashlib.sha256(certificate).hexdigest()
    extra = {CREDENTIAL_ID: (f"X509SHA256={fingerprint}",)}
    return Identity(subject.name, with_authenticated(subject.organizations), "", extra), subject.expires_at
