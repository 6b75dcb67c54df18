"""
Signed tokens (JWT), as service accounts carry them.

The claims are the caller's; this signs them with the newest key and verifies with any known one. A key has exactly one
algorithm, fixed by its type, and the token's header may only repeat it: nothing in a token chooses how it is checked.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiphys.pki import files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

# Clocks differ; Kubernetes grants the same minute.
LEEWAY_SECONDS = 60.0
TOKEN_BYTES_MAX = 16384
END_OF_KEY = "-----END PRIVATE KEY-----\n"
# Tokens that stand in Secrets never expire: at four keys a year these verify them for ten years.
KEYS_MAX = 40


class TokenRejected(Exception):
    """The token cannot be trusted; the message says why, and never holds the token."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`id` is the `kid`: the SHA-256 of the public key, so that everybody who has the key computes the same."""

    id: str
    algorithm: str
    private: EllipticCurvePrivateKey | RSAPrivateKey = field(repr=False)


class TokenKeys:
    """The first key signs, every key verifies."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        import jwt

        if not keys:
            raise ValueError("tokens need at least one key")
        self._jwt = jwt
        self._keys = {key.id: key for key in keys}
        self._newest = keys[0]
        self._public = {key.id: key.private.public_key() for key in keys}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with these claims."""
        key = self._newest
        return self._jwt.encode(dict(claims), key.private, key.algorithm, {"kid": key.id, "typ": None})

    def verify(
        self, token: str, *, issuers: Collection[str], audiences: Collection[str] | None, now: float
    ) -> dict[str, Any]:
        """
        The claims of a token that a known key signed, one of `issuers` issued, for at least one of `audiences` (None:
        for nobody in particular), and that is valid at `now` (Unix seconds). Raises TokenRejected.
        """
        claims = self._checked(token)
        if claims.get("iss") not in issuers:
            raise TokenRejected("the token is from another issuer")
        named = claims.get("aud", ())
        named = [named] if isinstance(named, str) else named
        if audiences is not None and not set(named) & set(audiences):
            raise TokenRejected(
                f"token audiences {_listed(named)} is invalid for the target audiences {_listed(audiences)}"
            )
        _check_times(claims, now)
        return claims

    def issuer_of(self, token: str) -> str | None:
        """What the token says of its issuer, unchecked: to ask the right verifier. None if it is no token."""
        try:
            claims = self._jwt.decode(token, options={"verify_signature": False})
        except self._jwt.PyJWTError:
            return None
        issuer = claims.get("iss")
        return issuer if isinstance(issuer, str) else None

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set."""
        return {"keys": [_jwk(key) for key in self._keys.values()]}

    def discovery(self, issuer: str, jwks_uri: str) -> dict[str, Any]:
        """The OpenID discovery document of `issuer`."""
        return {
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key.algorithm for key in self._keys.values()}),
        }

    def _checked(self, token: str) -> dict[str, Any]:
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenRejected("the token is too long")
        errors = self._jwt.PyJWTError
        try:
            key_id = self._jwt.get_unverified_header(token).get("kid")
        except errors:
            raise TokenRejected("not a JSON Web Token") from None
        # A token without a key id may be signed by any key; there are few.
        candidates = [self._keys[key_id]] if key_id in self._keys else list(self._keys.values()) if not key_id else []
        options = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
        for key in candidates:
            try:
                return self._jwt.decode(token, self._public[key.id], [key.algorithm], options)  # type: ignore[arg-type]
            except errors:
                continue
        raise TokenRejected("the token is not signed by a known key")


def new_key() -> SigningKey:
    """A key for ES256."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return _signing_key(ec.generate_private_key(ec.SECP256R1()))


def load_or_create(path: Path) -> TokenKeys:
    """The private keys in a PEM file (made with one key if missing), newest first."""
    if not path.exists():
        save(path, [new_key()])
    return TokenKeys(load(path))


def rotate(path: Path) -> TokenKeys:
    """Put a new key in front; tokens of the old ones stay valid, of the last few."""
    save(path, [new_key(), *load(path)][:KEYS_MAX])
    return TokenKeys(load(path))


def load(path: Path) -> list[SigningKey]:
    """Raises ValueError that names the file, never its content."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = path.read_text("ascii")
    blocks = [block + END_OF_KEY for block in text.split(END_OF_KEY)[:-1]]
    if not blocks:
        raise ValueError(f"{path}: no private key (PKCS#8, PEM) in it")
    try:
        return [_signing_key(load_pem_private_key(block.encode(), None)) for block in blocks]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def save(path: Path, keys: Sequence[SigningKey]) -> None:
    from cryptography.hazmat.primitives import serialization

    pem = [
        key.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        for key in keys
    ]
    files.write(path, b"".join(pem))


def _signing_key(private: Any) -> SigningKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        algorithm = "ES256"
    elif isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        algorithm = "RS256"
    else:
        raise ValueError("only EC P-256 keys and RSA keys of 2048 bits or more can sign tokens")
    spki = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return SigningKey(_base64url(hashlib.sha256(spki).digest()), algorithm, private)


def _jwk(key: SigningKey) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    common = {"use": "sig", "kid": key.id, "alg": key.algorithm}
    public = key.private.public_key()
    if isinstance(public, EllipticCurvePublicKey):
        point = public.public_numbers()
        coordinates = {"x": _base64url(point.x.to_bytes(32, "big")), "y": _base64url(point.y.to_bytes(32, "big"))}
        return {"kty": "EC", "crv": "P-256", **common, **coordinates}
    numbers = public.public_numbers()
    return {"kty": "RSA", **common, "n": _base64url_number(numbers.n), "e": _base64url_number(numbers.e)}


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    for claim in ("exp", "nbf", "iat"):
        if claim in claims and (isinstance(claims[claim], bool) or not isinstance(claims[claim], int | float)):
            raise TokenRejected(f"the token's {claim!r} is not a time")
    if "exp" in claims and now > claims["exp"] + LEEWAY_SECONDS:
        raise TokenRejected("token has expired")
    if "nbf" in claims and now < claims["nbf"] - LEEWAY_SECONDS:
        raise TokenRejected("token is not valid yet")
    if "iat" in claims and now < claims["iat"] - LEEWAY_SECONDS:
        raise TokenRejected("token was issued in the future")


def _listed(values: Collection[str]) -> str:
    """As Go's %q prints a list."""
    return "[" + " ".join(json.dumps(value) for value in values) + "]"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _base64url_number(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
