"""Gather a token Secret's facts and perform its plan."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import key_of
from tiphys.controllers.serviceaccounttoken.plan import (
    SECRETS,
    SERVICE_ACCOUNTS,
    TYPE,
    Sign,
    account_key,
    plan,
    plan_forgotten,
)
from tiphys.reconcile.commands import Delete, Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

BY_ACCOUNT = "service account"


class ServiceAccountTokenController:
    """
    Writes Secrets of the one type, and takes them off the accounts that name them when they are gone.

    It watches Secrets of that type alone, so that others cost it nothing. `bundle` is the PEM of the authorities that
    clients shall trust.
    """

    def __init__(self, tools: Tools, bundle: str, sign: Sign) -> None:
        self._tools, self._bundle, self._sign = tools, bundle, sign
        self._accounts = tools.informers.of(SERVICE_ACCOUNTS)
        self._secrets = tools.informers.apart(SECRETS, field_selector=f"type={TYPE}")
        self._secrets.add_index(BY_ACCOUNT, lambda secret: ("/".join(account_key(secret)),))
        # The account that each Secret belonged to which is gone.
        self._lost: dict[Key, Key] = {}
        sources = {self._secrets: self._keys_of_secret, self._accounts: self._keys_of_account}
        self._loop = Loop("serviceaccount-token-controller", self._reconcile, sources)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._secrets.run())
            group.create_task(self._loop.run())

    def _keys_of_secret(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if new is None and old is not None:
            self._lost[key_of(old)] = account_key(old)
        yield from own_key(old, new)

    def _keys_of_account(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """Only one that comes or goes matters."""
        account = new if old is None else old if new is None else None
        if account is not None:
            for secret in self._secrets.by(BY_ACCOUNT, "/".join(key_of(account))):
                yield key_of(secret)

    async def _reconcile(self, key: Key) -> Performed | None:
        secret = self._secrets.get(*key)
        if secret is None:
            return await self._forget(key)
        self._lost.pop(key, None)
        account = self._accounts.get(*account_key(secret))
        commands = plan(secret, account, self._bundle, self._sign)
        if any(isinstance(command, Delete) for command in commands):
            # The server itself must say that the account is gone: our cache may not show it yet.
            account = await self._asked(account_key(secret))
            commands = plan(secret, account, self._bundle, self._sign)
        return await self._tools.perform(commands)

    async def _forget(self, key: Key) -> Performed | None:
        account = self._accounts.get(*self._lost.get(key, ("", "")))
        performed = await self._tools.perform(plan_forgotten(account, key[1])) if account is not None else None
        self._lost.pop(key, None)
        return performed

    async def _asked(self, key: Key) -> Object | None:
        try:
            return await self._tools.client.get(SERVICE_ACCOUNTS, key[1], key[0])
        except StatusError as error:
            if error.code == 404:
                return None
            raise
