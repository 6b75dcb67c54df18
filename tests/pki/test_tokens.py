"""Tokens: signed by the newest key, verified by any, never by what the token asks for."""

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tiphys.pki import tokens
from tiphys.pki.tokens import TokenKeys, TokenRejected

NOW = 1_800_000_000.0
CLAIMS = {"iss": "https://c", "aud": ["api"], "sub": "system:serviceaccount:a:b", "exp": NOW + 600, "nbf": NOW}


def verify(keys: TokenKeys, token: str, now: float = NOW, audience: str = "api") -> dict:
    return keys.verify(token, issuers=["https://c"], audiences=[audience], now=now)


@pytest.fixture
def keys() -> TokenKeys:
    return TokenKeys([tokens.new_key()])


def test_claims_come_back(keys):
    assert verify(keys, keys.sign(CLAIMS)) == CLAIMS


def test_a_rotated_file_signs_with_the_new_key_and_believes_the_old(tmp_path):
    path = tmp_path / "sa.key"
    old = tokens.load_or_create(path)
    new = tokens.rotate(path)
    assert verify(new, old.sign(CLAIMS)) == CLAIMS
    with pytest.raises(TokenRejected):
        verify(old, new.sign(CLAIMS))
    assert path.stat().st_mode & 0o777 == 0o600


def test_rsa_keys_sign_with_rs256():
    keys = TokenKeys([tokens._signing_key(rsa.generate_private_key(65537, 2048))])
    token = keys.sign(CLAIMS)
    assert jwt.get_unverified_header(token)["alg"] == "RS256"
    assert verify(keys, token) == CLAIMS


@pytest.mark.parametrize(
    ("change", "now", "audience"),
    [
        ({"exp": NOW - 61}, NOW, "api"),
        ({}, NOW + 661, "api"),
        ({}, NOW - 61, "api"),
        ({"iat": NOW + 61}, NOW, "api"),
        ({"exp": "tomorrow"}, NOW, "api"),
        ({"iss": "https://other"}, NOW, "api"),
        ({}, NOW, "vault"),
    ],
)
def test_rejects_what_is_late_early_or_for_others(keys, change, now, audience):
    with pytest.raises(TokenRejected):
        verify(keys, keys.sign(CLAIMS | change), now, audience)


def part(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_rejects_tokens_that_choose_their_own_algorithm(keys):
    key_id = keys.jwks()["keys"][0]["kid"]
    signed = keys.sign(CLAIMS).rsplit(".", 1)[1]
    none = f"{part({'alg': 'none', 'kid': key_id})}.{part(CLAIMS)}."
    hmac = jwt.encode(CLAIMS, keys.jwks()["keys"][0]["x"] * 2, "HS256", {"kid": key_id})
    forged = f"{part({'alg': 'ES256', 'kid': key_id})}.{part(CLAIMS | {'sub': 'root'})}.{signed}"
    for token in (none, hmac, forged, "", "a.b.c", "x" * 20000):
        with pytest.raises(TokenRejected):
            verify(keys, token)


def test_the_published_keys_verify_a_token(keys):
    published = jwt.PyJWKSet.from_dict(keys.jwks())
    token = keys.sign(CLAIMS | {"exp": 4_000_000_000, "nbf": 0})
    key = published[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, audience="api")["sub"] == CLAIMS["sub"]
    assert keys.discovery("https://c", "https://c/openid/v1/jwks")["id_token_signing_alg_values_supported"] == ["ES256"]


def test_only_the_last_few_keys_are_kept(tmp_path):
    path = tmp_path / "sa.key"
    tokens.load_or_create(path)
    for _ in range(tokens.KEYS_MAX + 1):
        tokens.rotate(path)
    assert len(tokens.load(path)) == tokens.KEYS_MAX
