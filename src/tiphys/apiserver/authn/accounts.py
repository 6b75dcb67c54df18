"""
Tokens of service accounts: signed claims that hold for as long as what they are bound to exists.

A token names its account, and often a pod, a Secret or a node, each with its uid. It is believed while all of them are
there with the same uid: deleting the pod ends its tokens, whatever their time of expiry.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import parse_timestamp
from tiphys.apiserver.authn import secret_tokens
from tiphys.apiserver.authn.groups import CREDENTIAL_ID, account_groups, account_name
from tiphys.apiserver.call import Object, Reader
from tiphys.apiserver.records import key_of
from tiphys.pki.tokens import LEEWAY_SECONDS, TokenKeys, TokenRejected
from tiphys.wire.messages import Identity

CLAIM = "kubernetes.io"
# A pod that is deleted may use its token this long beyond its grace period: its last words are worth hearing.
DELETED_LEEWAY_SECONDS = 60.0
# Pods of old clients never read their token again. A token of exactly this length, which only the admission plugin
# asks for, is therefore good for a year; the node agent still renews it as if it were not.
WARN_AFTER_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
# Uses of tokens in Secrets that wait to be noted.
USED_MAX = 1000
_INFO = "authentication.kubernetes.io/"
# What a token can be bound to beside its account: claim → (resource, is namespaced).
_BOUND = {"pod": "pods", "secret": "secrets", "node": "nodes"}


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token is bound to: kind is `pod`, `secret` or `node`."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that is believed until `expires_at`, or until one of the objects at `keys` (storage keys) changes."""

    identity: Identity
    audiences: tuple[str, ...]
    expires_at: float
    keys: tuple[str, ...]


class AccountTokens:
    """Issues tokens and verifies them. `keys` may be replaced (rotation) at any time."""

    def __init__(self, keys: TokenKeys, reader: Reader, issuer: str, audiences: Sequence[str]) -> None:
        self.keys = keys
        self.issuer = issuer
        self.audiences = tuple(audiences)
        self._reader = reader
        # Secrets whose tokens were spoken with: for who notes it. What finds no room is noted another day.
        self.used_secrets: asyncio.Queue[tuple[str, str]] = asyncio.Queue(USED_MAX)

    def issue(
        self, account: Object, audiences: Sequence[str], seconds: int, bound: Sequence[Bound], now: float
    ) -> tuple[str, float]:
        """A token for an account, and when its bearer should have a new one (Unix seconds)."""
        metadata = account["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        private: Object = {"namespace": namespace, "serviceaccount": {"name": name, "uid": metadata["uid"]}}
        private |= {each.kind: {"name": each.name, "uid": each.uid} for each in bound}
        issued = int(now)
        ends = renew = issued + seconds
        if seconds == WARN_AFTER_SECONDS and any(each.kind == "pod" for each in bound) and self._is_own(audiences):
            ends = issued + EXTENDED_SECONDS
            private["warnafter"] = renew
        claims = {
            "aud": list(audiences), "exp": ends, "iat": issued, "iss": self.issuer, "jti": str(uuid.uuid4()),
            CLAIM: private, "nbf": issued, "sub": account_name(namespace, name),
        }  # fmt: skip
        return self.keys.sign(claims), float(renew)

    def verify(self, token: str, audiences: Sequence[str], now: float) -> Verified:
        """Who bears a token that is meant for one of `audiences`. Raises TokenRejected."""
        if self.keys.issuer_of(token) == secret_tokens.ISSUER:
            return self._verify_secret(token, audiences, now)
        claims = self.keys.verify(token, issuers=(self.issuer,), audiences=audiences, now=now)
        private = claims.get(CLAIM)
        if not isinstance(private, Mapping) or not isinstance(private.get("serviceaccount"), Mapping):
            raise TokenRejected("the token is no service account's")
        if "exp" not in claims:
            raise TokenRejected("the token never expires")
        namespace = str(private.get("namespace", ""))
        account = private["serviceaccount"]
        if claims.get("sub") != account_name(namespace, str(account.get("name", ""))):
            raise TokenRejected("the token's subject is not its service account")
        keys, dies = self._check_bound(namespace, private, now)
        named = claims["aud"]
        offered = [named] if isinstance(named, str) else named
        return Verified(
            _identity(namespace, private, str(claims.get("jti", ""))),
            tuple(audience for audience in audiences if audience in offered),
            min(float(claims["exp"]) + LEEWAY_SECONDS, dies),
            keys,
        )

    def issue_for_secret(self, account: Object, secret: str) -> str:
        """The token of a Secret, which ends with the Secret."""
        return secret_tokens.issue(self.keys, account, secret)

    def _verify_secret(self, token: str, audiences: Sequence[str], now: float) -> Verified:
        claims = self.keys.verify(token, issuers=(secret_tokens.ISSUER,), audiences=None, now=now)
        named = tuple(audience for audience in audiences if audience in self.audiences)
        if not named:
            raise TokenRejected("the token is not meant for these audiences")
        identity, hangs_on = secret_tokens.check(claims, token, self._reader)
        keys = tuple(key_of(resources.get("", "v1", plural), *place) for plural, *place in hangs_on)
        _, namespace, name = hangs_on[0]
        if not self.used_secrets.full():
            self.used_secrets.put_nowait((namespace, name))
        return Verified(identity, named, secret_tokens.end_of_day(now), keys)

    def _check_bound(self, namespace: str, private: Mapping[str, Any], now: float) -> tuple[tuple[str, ...], float]:
        """The storage keys of what the token hangs on, and when the first of it is gone for good."""
        keys, dies = [], float("inf")
        references = [("serviceaccounts", private["serviceaccount"])]
        references += [(plural, private[kind]) for kind, plural in _BOUND.items() if private.get(kind)]
        for plural, reference in references:
            name, uid = str(reference.get("name", "")), reference.get("uid")
            # Tokens tell their pod's node, and a node's own tokens are bound to it; only the latter end with it.
            informative = plural == "nodes" and bool(private.get("pod"))
            if informative:
                continue
            where = "" if plural == "nodes" else namespace
            obj = self._reader.get("", plural, where, name)
            if obj is None or obj["metadata"].get("uid") != uid:
                raise TokenRejected("service account token has been invalidated")
            deleted = obj["metadata"].get("deletionTimestamp")
            if deleted:
                dies = min(dies, parse_timestamp(deleted) + DELETED_LEEWAY_SECONDS)
            keys.append(key_of(resources.get("", "v1", plural), where, name))
        if now > dies:
            raise TokenRejected("service account token has been invalidated")
        return tuple(keys), dies

    def _is_own(self, audiences: Sequence[str]) -> bool:
        return bool(set(audiences) & set(self.audiences))


def _identity(namespace: str, private: Mapping[str, Any], token_id: str) -> Identity:
    account = private["serviceaccount"]
    extra: dict[str, tuple[str, ...]] = {}
    if token_id:
        extra[CREDENTIAL_ID] = (f"JTI={token_id}",)
    for kind in ("node", "pod"):
        reference = private.get(kind)
        if reference:
            extra[f"{_INFO}{kind}-name"] = (str(reference.get("name", "")),)
            extra[f"{_INFO}{kind}-uid"] = (str(reference.get("uid", "")),)
    groups = (*account_groups(namespace), "system:authenticated")
    return Identity(account_name(namespace, account["name"]), groups, str(account.get("uid", "")), extra)
