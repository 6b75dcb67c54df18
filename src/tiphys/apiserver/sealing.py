"""
Secrets at rest: sealed from the first write, and sealed again with the newest key after a rotation.

Only Secrets are sealed (`registry/commit.py` decides), so only they are looked at here.
"""

from __future__ import annotations

import logging

from tiphys.api import resources
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.records import prefix_of
from tiphys.pki import sealing
from tiphys.store.door import Conflict, Store

log = logging.getLogger(__name__)

PAGE = 500
_SECRETS = resources.get("", "v1", "secrets")


class SecretSealer:
    """`records.Sealer` with the keys of a file. `use` takes new keys, of which the first seals and all open."""

    def __init__(self, sealer: sealing.Sealer) -> None:
        self._sealer = sealer

    def seal(self, key: str, plain: bytes) -> bytes:
        return self._sealer.seal(key.encode(), plain)

    def open(self, key: str, sealed: bytes) -> bytes:
        return self._sealer.open(key.encode(), sealed)

    def is_current(self, stored: bytes) -> bool:
        """Whether a stored value is sealed with the newest key."""
        return self._sealer.is_current(stored)

    def use(self, sealer: sealing.Sealer) -> None:
        self._sealer = sealer


async def seal_again(store: Store, cache: Cache, sealer: SecretSealer) -> int:
    """
    Write again every Secret that is not sealed with the newest key, one at a time; returns how many.

    Who writes a Secret meanwhile seals it too, so a lost race is nothing to repeat.
    """
    await cache.caught_up()
    sealed, after, more = 0, "", True
    while more:
        page = await store.list(prefix_of(_SECRETS), limit=PAGE, after=after)
        for entry in page.entries:
            if sealer.is_current(entry.value):
                continue
            plain = entry.value if entry.value.startswith(b"{") else sealer.open(entry.key, entry.value)
            try:
                await store.update(entry.key, sealer.seal(entry.key, plain), entry.revision)
                sealed += 1
            except Conflict:
                continue
        more, after = page.more, page.entries[-1].key if page.entries else ""
    if sealed:
        log.info("sealed %d Secrets with the newest key", sealed)
    return sealed
