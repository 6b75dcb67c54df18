"""Certificate signing requests: what they ask for."""

from __future__ import annotations

import base64
import binascii


def organizations_of(request: str) -> tuple[str, ...]:
    """The organizations in a request (PEM, in base64); none if it is no request."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        asked = x509.load_pem_x509_csr(base64.b64decode(request))
    except (ValueError, binascii.Error):
        return ()
    return tuple(str(each.value) for each in asked.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
