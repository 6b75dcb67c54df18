"""TLS Secrets as what the data plane loads: chain and key in one text, checked here so that one cannot stop it all."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

CHAINS_REMEMBERED = 512


class BadCertificate(ValueError):
    """What is wrong with chain or key."""


def bundle(secret: Mapping[str, Any]) -> str:
    """The Secret's chain and key. BadCertificate if the data plane could not use them."""
    data = secret.get("data") or {}
    missing = [name for name in ("tls.crt", "tls.key") if not data.get(name)]
    if missing:
        raise BadCertificate(f"it has no {' and no '.join(missing)}")
    return _checked(data["tls.crt"], data["tls.key"])


@functools.lru_cache(CHAINS_REMEMBERED)
def _checked(encoded_chain: str, encoded_key: str) -> str:
    try:
        chain, key = base64.b64decode(encoded_chain), base64.b64decode(encoded_key)
        certificates = x509.load_pem_x509_certificates(chain)
        private = load_pem_private_key(key, None)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadCertificate(f"it cannot be read: {error}") from None
    if certificates[0].public_key() != private.public_key():
        raise BadCertificate("the key is not that of the certificate")
    return "\n".join(text.decode().strip() for text in (chain, key)) + "\n"
