"""
Who may speak and what is admitted, put together for the composition root.

    security = secured(SecuritySettings(pki_dir, …), store)
    api = ApiServer(store, sealer=security.sealer, extras=security.extras)
    await api.start(); … run …; await api.boot()
    await security.boot(api)          # bootstrap roles; Secrets sealed with the newest key
    …
    security.close()                  # after the last request

`extras` gives guards, admission, reviews and the token issuer's pages; the caller adds its own pages and how nodes are
reached with `dataclasses.replace`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiphys.apiserver.admission import plugins
from tiphys.apiserver.audit import AuditLog, AuditSettings
from tiphys.apiserver.authn import issuer, static
from tiphys.apiserver.authn.accounts import AccountTokens
from tiphys.apiserver.authn.authenticator import Authenticator
from tiphys.apiserver.authn.impersonation import Impersonator
from tiphys.apiserver.authz import bootstrap
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.chain import Guards
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.reviews import access, authentication, rules, token_request
from tiphys.apiserver.sealing import SecretSealer, seal_again
from tiphys.apiserver.server import ApiServer, Extras
from tiphys.apiserver.watchers import Change
from tiphys.pki import sealing, tokens
from tiphys.store.door import Store

ISSUER = "https://kubernetes.default.svc"
SIGNING_KEYS, SEALING_KEYS = "service-account.key", "secrets.key"
# A signing key of this age is replaced, at a start or while the server runs.
SIGNING_KEY_SECONDS = 90 * 86400.0


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """
    `pki_dir` holds the signing and the sealing keys, which are made if missing. `audit` None writes no audit log.

    `external_url` is where others fetch the issuer's public keys.
    """

    pki_dir: Path
    token_file: Path | None = None
    audit: AuditSettings | None = None
    issuer: str = ISSUER
    audiences: tuple[str, ...] = (ISSUER,)
    external_url: str = ISSUER


class Security:
    """The guards of one API server. `extras` is called once, by it."""

    def __init__(self, settings: SecuritySettings, store: Store, now: Callable[[], float]) -> None:
        self._settings = settings
        self._store = store
        self._now = now
        self._keys = tokens.load_or_create(settings.pki_dir / SIGNING_KEYS)
        self._static = static.load(settings.token_file) if settings.token_file is not None else {}
        self._audit = AuditLog(settings.audit, now=now) if settings.audit is not None else None
        self._tokens: AccountTokens | None = None
        self._authenticator: Authenticator | None = None
        self._rotation: asyncio.TimerHandle | None = None
        self.sealer = SecretSealer(sealing.load_or_create(settings.pki_dir / SEALING_KEYS))

    def extras(self, cache: Cache) -> Extras:
        """What `ApiServer` is given."""
        settings = self._settings
        accounts = AccountTokens(self._keys, cache, settings.issuer, settings.audiences)
        authenticator = Authenticator(accounts, self._static, fresh=cache.caught_up, now=self._now)
        nodes = NodeAuthorizer(cache)
        authorizer = Authorizer(Rbac(cache), nodes)
        self._tokens, self._authenticator = accounts, authenticator

        def follow(change: Change) -> None:
            key = change.record.key
            authenticator.follow(key)
            authorizer.rbac.follow(key)
            nodes.pods.follow(change)

        cache.listeners.append(follow)
        return Extras(
            guards=Guards(authenticator, Impersonator(authorizer.decide), authorizer, self._audit),
            admission=plugins.chain(Parts(self._store, cache, now=self._now), authorizer),
            reviews={
                **access.reviews(authorizer),
                **rules.reviews(authorizer.rbac),
                **authentication.reviews(authenticator, self._now),
                **token_request.reviews(accounts, cache, self._now),
            },
            pages=(issuer.page(accounts, lambda: settings.external_url),),
        )

    async def boot(self, api: ApiServer) -> None:
        """The bootstrap roles and bindings, and Secrets sealed with the newest key; needs `api.run` to be under way."""
        await bootstrap.reconcile(api.handle, api.cache)
        await seal_again(self._store, api.cache, self.sealer)
        self._keep_signing_key_young()

    def _keep_signing_key_young(self) -> None:
        """The file is as old as its newest key."""
        written_at = (self._settings.pki_dir / SIGNING_KEYS).stat().st_mtime
        left = written_at + SIGNING_KEY_SECONDS - self._now()
        if left <= 0:
            self.rotate_signing_key()
            left = SIGNING_KEY_SECONDS
        self._let_key_age()
        self._rotation = asyncio.get_running_loop().call_later(left, self._keep_signing_key_young)

    def _let_key_age(self) -> None:
        if self._rotation is not None:
            self._rotation.cancel()
            self._rotation = None

    def rotate_signing_key(self) -> None:
        """Sign with a new key from now on; tokens of the older ones stay good until they expire."""
        self._keys = tokens.rotate(self._settings.pki_dir / SIGNING_KEYS)
        if self._tokens is not None and self._authenticator is not None:
            self._tokens.keys = self._keys
            self._authenticator.forget()

    @property
    def accounts(self) -> AccountTokens:
        """Who signs and verifies tokens of service accounts."""
        if self._tokens is None:
            raise RuntimeError("no API server has been given its guards yet")
        return self._tokens

    async def rotate_sealing_key(self, cache: Cache) -> int:
        """Seal every Secret with a new key; returns how many were written again."""
        self.sealer.use(sealing.rotate(self._settings.pki_dir / SEALING_KEYS))
        return await seal_again(self._store, cache, self.sealer)

    def close(self) -> None:
        """Write what waits for the audit log; no key is rotated any more."""
        self._let_key_age()
        if self._audit is not None:
            self._audit.close()


def secured(settings: SecuritySettings, store: Store, *, now: Callable[[], float] = time.time) -> Security:
    """The guards that the settings ask for. ValueError if a key or token file cannot be read."""
    return Security(settings, store, now)
