"""
Who speaks: a client certificate, a token from the token file, or a service account's token; anonymous without any.

Nobody is an answer (RBAC decides what anonymous may see), a credential that is wrong is not: it is a 401 on every path.

A verified token is kept under its digest, so that a client that comes back costs one look-up. What is kept ends with
the token, and is dropped at the first change of any object that the token hangs on. A request waits until the cache has
seen every acknowledged write; so the token of a deleted account stops with the delete. Rejected: a time to live for
what is kept. It would let deleted accounts speak on, and verify living ones again and again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from tiphys.api import errors
from tiphys.apiserver.authn.accounts import AccountTokens, Verified
from tiphys.apiserver.authn.bearers import token_of
from tiphys.apiserver.authn.certificates import identity_of
from tiphys.apiserver.authn.groups import ANONYMOUS
from tiphys.apiserver.authn.static import digest
from tiphys.pki.tokens import TokenRejected
from tiphys.wire.messages import Identity, Request

# Tokens that are kept. When it is full it starts again: the busy ones come back at once.
KEPT_MAX = 10_000

Fresh = Callable[[], Awaitable[None]]


class Authenticator:
    """
    `follow` must see every change of the cache that `accounts` reads; `fresh` waits until that cache shows every write
    that was acknowledged.
    """

    def __init__(
        self,
        accounts: AccountTokens,
        static: Mapping[bytes, Identity] | None = None,
        *,
        fresh: Fresh,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._fresh = fresh
        self._accounts = accounts
        self._static = static or {}
        self._now = now
        self._kept: dict[bytes, Verified] = {}
        self._by_key: dict[str, set[bytes]] = {}

    async def authenticate(self, request: Request) -> Identity:
        """See the Authenticator door."""
        if request.certificate is not None:
            found = identity_of(request.certificate)
            if found is not None:
                await self._fresh()
                identity, expires_at = found
                if expires_at < self._now():
                    raise errors.unauthorized()
                return identity
        token = token_of(request.headers)
        if not token:
            return ANONYMOUS
        await self._fresh()
        key = digest(token)
        kept = self._kept.get(key)
        if kept is not None and kept.expires_at > self._now():
            return kept.identity
        identity_or_none = self._static.get(key)
        if identity_or_none is not None:
            return identity_or_none
        return self._verified(token, key)

    def review(self, token: str, audiences: tuple[str, ...]) -> tuple[Identity, tuple[str, ...]]:
        """Who bears a token, and for which of `audiences` (none: ours) it is meant. Raises TokenRejected."""
        static = self._static.get(digest(token))
        if static is not None:
            own = self._accounts.audiences
            meant = tuple(audience for audience in audiences or own if audience in own)
            if not meant:
                raise TokenRejected("the token is not meant for these audiences")
            return static, meant
        verified = self._accounts.verify(token, audiences or self._accounts.audiences, self._now())
        return verified.identity, verified.audiences

    def follow(self, key: str) -> None:
        """A stored object changed: tokens that hang on it are looked at again."""
        for token in self._by_key.pop(key, ()):
            verified = self._kept.pop(token, None)
            for other in verified.keys if verified is not None else ():
                self._leave(other, token)

    def forget(self) -> None:
        """Keys were replaced: every token is looked at again."""
        self._kept.clear()
        self._by_key.clear()

    def _leave(self, key: str, token: bytes) -> None:
        there = self._by_key.get(key)
        if there is not None:
            there.discard(token)
            if not there:
                del self._by_key[key]

    def _verified(self, token: str, key: bytes) -> Identity:
        try:
            verified = self._accounts.verify(token, self._accounts.audiences, self._now())
        except TokenRejected:
            raise errors.unauthorized() from None
        if len(self._kept) >= KEPT_MAX:
            self.forget()
        self._kept[key] = verified
        for stored in verified.keys:
            self._by_key.setdefault(stored, set()).add(key)
        return verified.identity
