"""The watch cache: reads see acknowledged writes, watchers see every change once, in order."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api import resources
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.records import Record, collection_prefix, encode, key_of, prefix_of
from tiphys.apiserver.watchers import QUEUE_BYTES_MAX, QUEUE_MAX, Watcher, plain
from tiphys.store.memory import MemoryStore

CONFIGMAPS = resources.get("", "v1", "configmaps")
VIEW = plain("ConfigMap", "v1")


def configmap(name: str, namespace: str = "shop", **data: str) -> dict:
    metadata = {"name": name, "namespace": namespace, "uid": str(uuid.UUID(int=7))}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}


async def put(store: MemoryStore, obj: dict) -> int:
    key = key_of(CONFIGMAPS, obj["metadata"]["namespace"], obj["metadata"]["name"])
    entry = await store.get(key)
    return await (store.update(key, encode(obj), entry.revision) if entry else store.create(key, encode(obj)))


async def drop(store: MemoryStore, name: str, namespace: str = "shop") -> int:
    key = key_of(CONFIGMAPS, namespace, name)
    entry = await store.get(key)
    assert entry is not None
    return await store.delete(key, entry.revision)


@pytest.fixture
async def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def cache(store: MemoryStore) -> AsyncIterator[Cache]:
    cache = Cache(store)
    await cache.load()
    following = asyncio.create_task(cache.run())
    yield cache
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


def names(cache: Cache) -> list[str]:
    return [record.name for record in cache.collection(CONFIGMAPS).records]


async def test_a_read_sees_every_acknowledged_write(store, cache):
    await put(store, configmap("a", k="1"))
    await cache.caught_up()
    assert cache.get("", "configmaps", "shop", "a")["data"] == {"k": "1"}


async def test_the_resource_version_is_the_commits_revision(store, cache):
    revision = await put(store, configmap("a"))
    await cache.caught_up()
    record = cache.record(key_of(CONFIGMAPS, "shop", "a"))
    assert orjson.loads(record.body)["metadata"]["resourceVersion"] == str(revision)


async def test_records_stay_in_key_order(store, cache):
    for name in ("c", "a", "b"):
        await put(store, configmap(name))
    await drop(store, "b")
    await cache.caught_up()
    assert names(cache) == ["a", "c"]


async def test_a_restarted_cache_holds_what_the_store_holds(store, cache):
    for name in ("c", "a", "b"):
        await put(store, configmap(name))
    again = Cache(store)
    await again.load()
    assert names(again) == ["a", "b", "c"] and again.revision == store.revision


async def test_watchers_share_one_frame(store, cache):
    watchers = [cache.watch(CONFIGMAPS, prefix_of(CONFIGMAPS), VIEW) for _ in range(2)]
    await put(store, configmap("a"))
    await cache.caught_up()
    first, second = [await anext(watcher.stream()) for watcher in watchers]
    assert first is second
    assert orjson.loads(first)["type"] == "ADDED"


async def test_a_watcher_of_a_namespace_sees_no_other(store, cache):
    watcher = cache.watch(CONFIGMAPS, prefix_of(CONFIGMAPS) + "shop/", VIEW)
    await put(store, configmap("a", "bank"))
    await put(store, configmap("b", "shop"))
    await cache.caught_up()
    assert [event["object"]["metadata"]["name"] for event in lines(await anext(watcher.stream()))] == ["b"]


async def test_leaving_the_selector_is_told_as_deleted(store, cache):
    watcher = Watcher(VIEW, lambda record: b'"k":"in"' in record.tail, bookmarks=False)
    cache.collection(CONFIGMAPS).watch(prefix_of(CONFIGMAPS), watcher)
    for value in ("out", "in", "in", "out"):
        await put(store, configmap("a", k=value, n=str(store.revision)))
    await cache.caught_up()
    assert [event["type"] for event in lines(await anext(watcher.stream()))] == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_deleted_object_is_told_at_the_revision_of_its_delete(store, cache):
    await put(store, configmap("a", k="last"))
    await cache.caught_up()
    watcher = cache.watch(CONFIGMAPS, prefix_of(CONFIGMAPS), VIEW)
    revision = await drop(store, "a")
    await cache.caught_up()
    (event,) = lines(await anext(watcher.stream()))
    assert event["type"] == "DELETED" and event["object"]["data"] == {"k": "last"}
    assert event["object"]["metadata"]["resourceVersion"] == str(revision)


async def test_a_slow_watcher_is_cut_and_told_so():
    watcher = Watcher(VIEW, None, bookmarks=False)
    for _ in range(QUEUE_MAX + 1):
        watcher.push(b"{}\n")
    (event,) = lines(b"".join([chunk async for chunk in watcher.stream()]))
    assert event["type"] == "ERROR" and event["object"]["code"] == 410


async def test_a_slow_watcher_of_large_objects_is_cut_before_it_fills_the_memory():
    watcher = Watcher(VIEW, None, bookmarks=False)
    for _ in range(QUEUE_BYTES_MAX // 2**20 + 1):
        watcher.push(b" " * 2**20)
    (event,) = lines(b"".join([chunk async for chunk in watcher.stream()]))
    assert event["object"]["code"] == 410


async def test_a_closed_watcher_leaves_the_cache(cache):
    watcher = cache.watch(CONFIGMAPS, prefix_of(CONFIGMAPS), VIEW)
    watcher.close()
    watcher.close()
    assert cache.watcher_count == 0


async def test_a_revision_that_does_not_come_is_too_large(cache, monkeypatch):
    monkeypatch.setattr("tiphys.apiserver.cache.FUTURE_WAIT_SECONDS", 0.01)
    with pytest.raises(Exception, match="Too large resource version: 99, current: 0"):
        await cache.not_older_than(99)


@pytest.mark.parametrize("name", ["services", "endpoints", "nodes", "pods"])
def test_a_key_tells_its_collection(name):
    resource = resources.get("", "v1", name)
    assert collection_prefix(key_of(resource, "shop", "a")) == prefix_of(resource)


def test_a_record_splices_the_revision_behind_the_uid():
    record = Record("/registry/configmaps/shop/a", encode(configmap("a", uid='"uid":"')), 7)
    assert list(record.object["metadata"])[:4] == ["name", "namespace", "uid", "resourceVersion"]


steps = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(("put", "drop"))), max_size=40)


@given(steps=steps, seen=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_a_list_and_the_watch_after_it_give_the_same_as_a_later_list(steps, seen):
    assert asyncio.run(replayed(steps, seen)) == asyncio.run(replayed(steps, len(steps)))


async def replayed(steps: list[tuple[str, str]], seen: int) -> dict[str, str]:
    """Lists after `seen` steps, then watches the rest."""
    store = MemoryStore()
    cache = Cache(store)
    await cache.load()
    following = asyncio.create_task(cache.run())
    await run(store, steps[:seen])
    await cache.caught_up()
    state = {record.name: record.object["data"]["n"] for record in cache.collection(CONFIGMAPS).records}
    watcher = cache.watch(CONFIGMAPS, prefix_of(CONFIGMAPS), VIEW)
    await run(store, steps[seen:], seen)
    await cache.caught_up()
    watcher.end()
    for event in lines(b"".join([chunk async for chunk in watcher.stream()])):
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            del state[name]
        else:
            state[name] = event["object"]["data"]["n"]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return state


async def run(store: MemoryStore, steps: list[tuple[str, str]], first: int = 0) -> None:
    for number, (name, action) in enumerate(steps, first):
        if action == "put":
            await put(store, configmap(name, n=str(number)))
        elif await store.get(key_of(CONFIGMAPS, "shop", name)):
            await drop(store, name)


def lines(chunk: bytes) -> list[dict]:
    return [orjson.loads(line) for line in chunk.splitlines()]


async def test_a_write_is_in_the_cache_before_its_writer_is_told(store, cache):
    await asyncio.sleep(0)  # `run` begins
    assert await put(store, configmap("one")) == cache.revision
    assert names(cache) == ["one"]


async def test_what_was_missed_comes_by_the_watch_and_nothing_comes_twice(store):
    cache = Cache(store)
    await cache.load()
    heard: list[int] = []
    cache.listeners.append(lambda change: heard.append(change.revision))
    await put(store, configmap("before"))
    following = asyncio.create_task(cache.run())
    await asyncio.sleep(0)
    await put(store, configmap("between"))
    await cache.caught_up()
    await put(store, configmap("after"))
    following.cancel()
    assert heard == [1, 2, 3]


async def test_a_failure_while_it_hears_ends_the_cache(store):
    cache = Cache(store)
    await cache.load()

    def fail(change: object) -> None:
        raise ValueError("broken")

    cache.listeners.append(fail)
    following = asyncio.create_task(cache.run())
    await asyncio.sleep(0)
    await put(store, configmap("one"))
    with pytest.raises(ExceptionGroup, match="TaskGroup"):
        await following
