"""Gather the facts about a Secret with a service account's token and perform its plan; note when tokens are used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import annotations_of, key_of, labels_of
from tiphys.controllers.legacytokens.plan import LAST_USED, SECRETS, mark, plan, secret_names, today
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

PODS, ACCOUNTS = resources.get("", "v1", "pods"), resources.get("", "v1", "serviceaccounts")
TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"

log = logging.getLogger(__name__)


class LegacyTokenController:
    """
    Writes the two labels that tell of use; removes what is of none.

    `used` gives (namespace, name) of a Secret whose token somebody has just spoken with, once a day at most.
    """

    def __init__(self, tools: Tools, used: asyncio.Queue[Key]) -> None:
        self._tools, self._used = tools, used
        self._pods, self._accounts = tools.informers.of(PODS), tools.informers.of(ACCOUNTS)
        self._secrets = tools.informers.apart(SECRETS, field_selector=f"type={TYPE}")
        sources = {self._secrets: own_key, self._pods: self._keys_of_pod}
        self._loop = Loop(
            "legacy-service-account-token-cleaner", self._reconcile, sources, reads=[self._accounts], workers=1
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._secrets.run())
            group.create_task(self._loop.run())
            group.create_task(self._note())

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """A pod that goes may have been the last to need one."""
        if new is None and old is not None and len(self._secrets):
            namespace = old["metadata"]["namespace"]
            yield from ((namespace, name) for name in secret_names(old["spec"]) if self._secrets.get(namespace, name))

    async def _reconcile(self, key: Key) -> Performed | None:
        secret = self._secrets.get(*key)
        if secret is None:
            return None
        account = self._accounts.get(key[0], annotations_of(secret).get(ACCOUNT_NAME, ""))
        return await self._tools.perform(plan(secret, account, self._pods.list(key[0]), self._tools.now()))

    async def _note(self) -> None:
        await self._secrets.synced()
        while True:
            secret = self._secrets.get(*await self._used.get())
            if secret is None or labels_of(secret).get(LAST_USED) == today(self._tools.now()):
                continue
            try:
                await self._tools.perform([mark(secret, LAST_USED, self._tools.now())])
            except StatusError as error:
                # It is noted the next time that the token is used.
                log.info("cannot note the use of the token in %s: %s", "/".join(key_of(secret)), error)
