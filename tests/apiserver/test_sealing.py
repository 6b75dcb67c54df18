"""Secrets at rest: sealed, and sealed again after a rotation."""

from __future__ import annotations

from tiphys.apiserver.cache import Cache
from tiphys.apiserver.records import encode
from tiphys.apiserver.sealing import SecretSealer, seal_again
from tiphys.pki import sealing
from tiphys.store.memory import MemoryStore

KEY = "/registry/secrets/shop/a"
SECRET = encode({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "shop", "uid": "u" * 36}})


async def sealed_store(sealer):
    store = MemoryStore()
    await store.create(KEY, sealer.seal(KEY, SECRET))
    cache = Cache(store, sealer)
    await cache.load()
    return store, cache


async def test_the_cache_opens_what_the_store_holds_sealed():
    store, cache = await sealed_store(SecretSealer(sealing.Sealer([sealing.new_key()])))
    assert b'"name"' not in (await store.get(KEY)).value
    assert cache.record(KEY).object["metadata"]["name"] == "a"


async def test_after_a_rotation_the_old_key_is_needed_no_more():
    old, new = sealing.new_key(), sealing.new_key()
    sealer = SecretSealer(sealing.Sealer([old]))
    store, cache = await sealed_store(sealer)
    sealer.use(sealing.Sealer([new, old]))
    assert await seal_again(store, cache, sealer) == 1
    assert sealing.Sealer([new]).open(KEY.encode(), (await store.get(KEY)).value) == SECRET


async def test_what_is_sealed_with_the_newest_key_is_left_alone():
    sealer = SecretSealer(sealing.Sealer([sealing.new_key()]))
    store, cache = await sealed_store(sealer)
    before = store.revision
    assert await seal_again(store, cache, sealer) == 0
    assert store.revision == before


async def test_plain_secrets_of_older_days_are_sealed():
    store = MemoryStore()
    await store.create(KEY, SECRET)
    sealer = SecretSealer(sealing.Sealer([sealing.new_key()]))
    cache = Cache(store, sealer)
    await cache.load()
    assert await seal_again(store, cache, sealer) == 1
    assert sealer.is_current((await store.get(KEY)).value)
