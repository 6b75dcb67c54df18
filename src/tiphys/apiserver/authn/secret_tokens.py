"""
Tokens that stand in Secrets of type `kubernetes.io/service-account-token`: signed once, never expiring.

Such a token is believed while its Secret holds that very token and its account is there, so that it ends with either of
them. It names no audience and is meant for this API alone.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api.objects import is_deleting, labels_of
from tiphys.apiserver.authn.groups import AUTHENTICATED, account_groups, account_name
from tiphys.apiserver.call import Object, Reader
from tiphys.pki.tokens import TokenKeys, TokenRejected
from tiphys.wire.messages import Identity

ISSUER = "kubernetes/serviceaccount"
DAY_SECONDS = 86_400.0
_CLAIM = "kubernetes.io/serviceaccount/"
# Set by hand, or by who cleans up, on a token that shall no longer be used.
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
_GONE = "service account token has been invalidated"


def issue(keys: TokenKeys, account: Object, secret: str) -> str:
    """The token that stands in the Secret of that name, in the account's namespace."""
    metadata = account["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    claims = {
        "iss": ISSUER, "sub": account_name(namespace, name), f"{_CLAIM}namespace": namespace,
        f"{_CLAIM}secret.name": secret, f"{_CLAIM}service-account.name": name,
        f"{_CLAIM}service-account.uid": metadata["uid"],
    }  # fmt: skip
    return keys.sign(claims)


def check(claims: Mapping[str, Any], token: str, reader: Reader) -> tuple[Identity, Sequence[tuple[str, str, str]]]:
    """
    Who bears the token that has these verified claims, and (resource, namespace, name) of what it hangs on.

    Raises TokenRejected.
    """
    parts = ("namespace", "secret.name", "service-account.name", "service-account.uid")
    namespace, secret_name, name, uid = (str(claims.get(_CLAIM + part, "")) for part in parts)
    if not namespace or claims.get("sub") != account_name(namespace, name):
        raise TokenRejected("the token's subject is not its service account")
    secret = reader.get("", "secrets", namespace, secret_name)
    if secret is None or is_deleting(secret) or not _holds(secret, token):
        raise TokenRejected(_GONE)
    if labels_of(secret).get(INVALID_SINCE):
        raise TokenRejected(f"{_GONE} by its label {INVALID_SINCE}")
    account = reader.get("", "serviceaccounts", namespace, name)
    if account is None or is_deleting(account) or account["metadata"].get("uid") != uid:
        raise TokenRejected(_GONE)
    identity = Identity(account_name(namespace, name), (*account_groups(namespace), AUTHENTICATED), uid)
    return identity, (("secrets", namespace, secret_name), ("serviceaccounts", namespace, name))


def end_of_day(now: float) -> float:
    """The use of a token is noted once a day, so it is looked at anew each day."""
    return (now // DAY_SECONDS + 1) * DAY_SECONDS


def _holds(secret: Object, token: str) -> bool:
    held = (secret.get("data") or {}).get("token", "")
    return hmac.compare_digest(base64.b64encode(token.encode()).decode(), held)
