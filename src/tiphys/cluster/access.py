"""A client of a cluster that runs in another process, with the administrator's certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tiphys.client.client import Client
from tiphys.cluster.failures import CannotServe
from tiphys.cluster.settings import Settings
from tiphys.pki import authority, tls
from tiphys.wire.pool import HttpPool


@asynccontextmanager
async def administrator(settings: Settings) -> AsyncIterator[Client]:
    """The client, for as long as the block lasts. CannotServe if there are no keys."""
    pair, signer = (authority.load_pair(settings.pki_dir, stem) for stem in ("admin", "ca"))
    if pair is None or signer is None:
        raise CannotServe(f"there is no cluster in {settings.data_dir}: start one with `tiphys up`")
    bundle = (settings.pki_dir / "ca.crt").read_bytes()
    pool = HttpPool(f"https://127.0.0.1:{settings.port}", tls=tls.client_context(bundle, pair))
    try:
        yield Client(pool, user_agent="tiphys")
    finally:
        await pool.close()
