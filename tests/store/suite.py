"""The contract of the Store door, run by every implementation."""

import asyncio

import pytest

from tiphys.store.door import Compacted, Conflict, Event, FutureRevision, KeyExists


async def take(watch, count):
    """The next `count` events of a watch."""
    events = []
    async with asyncio.timeout(5):
        async for batch in watch:
            events += batch
            if len(events) >= count:
                return events
    return events


class StoreContract:
    async def test_what_was_created_is_there(self, store):
        revision = await store.create("/a", b"1")
        entry = await store.get("/a")
        assert (entry.value, entry.revision) == (b"1", revision)

    async def test_an_unknown_key_is_none(self, store):
        assert await store.get("/nothing") is None

    async def test_every_write_takes_the_next_revision(self, store):
        first = await store.create("/a", b"1")
        second = await store.update("/a", b"2", first)
        third = await store.delete("/a", second)
        assert [first, second, third] == [1, 2, 3] and store.revision == 3

    async def test_create_of_an_existing_key_is_refused(self, store):
        await store.create("/a", b"1")
        with pytest.raises(KeyExists):
            await store.create("/a", b"2")
        assert (await store.get("/a")).value == b"1"

    async def test_update_at_an_old_revision_is_refused_with_what_is_there(self, store):
        first = await store.create("/a", b"1")
        await store.update("/a", b"2", first)
        with pytest.raises(Conflict) as refused:
            await store.update("/a", b"3", first)
        assert refused.value.current.value == b"2"

    async def test_delete_of_a_missing_key_is_refused(self, store):
        with pytest.raises(Conflict) as refused:
            await store.delete("/a", 1)
        assert refused.value.current is None

    async def test_a_refused_write_takes_no_revision(self, store):
        await store.create("/a", b"1")
        with pytest.raises(KeyExists):
            await store.create("/a", b"2")
        assert await store.create("/b", b"1") == 2

    async def test_of_two_writers_at_one_revision_one_wins(self, store):
        revision = await store.create("/a", b"0")
        attempts = [store.update("/a", b"%d" % n, revision) for n in range(8)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7

    async def test_lists_a_prefix_in_key_order(self, store):
        for key in ("/b/2", "/a/1", "/b/1", "/c"):
            await store.create(key, b"")
        page = await store.list("/b/")
        assert [entry.key for entry in page.entries] == ["/b/1", "/b/2"] and page.revision == 4

    async def test_lists_in_pages(self, store):
        for number in range(5):
            await store.create(f"/k/{number}", b"")
        first = await store.list("/k/", limit=3)
        second = await store.list("/k/", limit=3, after=first.entries[-1].key)
        assert [len(first.entries), first.more, len(second.entries), second.more] == [3, True, 2, False]

    async def test_lists_the_past(self, store):
        first = await store.create("/k/1", b"old")
        await store.create("/k/2", b"")
        await store.update("/k/1", b"new", first)
        await store.delete("/k/2", 2)
        past = await store.list("/k/", revision=2)
        assert [(e.key, e.value, e.revision) for e in past.entries] == [("/k/1", b"old", 1), ("/k/2", b"", 2)]
        assert past.revision == 2

    async def test_the_future_cannot_be_listed_or_watched(self, store):
        with pytest.raises(FutureRevision):
            await store.list("/", revision=9)
        with pytest.raises(FutureRevision):
            await take(store.watch("/", 9), 1)

    async def test_a_watch_sees_every_change_once_in_order(self, store):
        watch = store.watch("/k/", 0)
        first = await store.create("/k/1", b"1")
        await store.create("/other", b"")
        second = await store.update("/k/1", b"2", first)
        await store.delete("/k/1", second)
        events = await take(watch, 3)
        assert [(e.key, e.revision, e.value) for e in events] == [
            ("/k/1", 1, b"1"),
            ("/k/1", 3, b"2"),
            ("/k/1", 4, None),
        ]
        assert events[0].previous is None and events[2].previous.value == b"2"

    async def test_a_watch_from_the_past_catches_up_then_follows(self, store):
        for number in range(10):
            await store.create(f"/k/{number}", b"")
        watch = store.watch("/k/", 4)
        caught_up = await take(watch, 6)
        await store.create("/k/new", b"")
        followed = await take(watch, 1)
        assert [e.revision for e in caught_up] == list(range(5, 11)) and followed == [Event("/k/new", 11, b"", None)]

    async def test_a_writer_that_was_answered_finds_its_change_published(self, store):
        watch = store.watch("/", store.revision)
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        await store.create("/a", b"")
        assert store.revision == 1
        assert [event.revision for event in await waiting] == [1]

    async def test_a_listener_hears_each_commit_before_its_writer(self, store):
        heard: list[int] = []
        stop = store.listen(lambda events: heard.extend(event.revision for event in events))
        for number in range(3):
            assert await store.create(f"/k/{number}", b"") == heard[-1]
        stop()
        await store.create("/k/later", b"")
        assert heard == [1, 2, 3]

    async def test_compaction_keeps_what_is_and_forgets_what_was(self, store):
        first = await store.create("/a", b"1")
        second = await store.update("/a", b"2", first)
        await store.create("/b", b"")
        await store.compact(second)
        assert (await store.get("/a")).value == b"2"
        with pytest.raises(Compacted):
            await store.list("/", revision=1)
        with pytest.raises(Compacted):
            await take(store.watch("/", 1), 1)
        assert [event.key for event in await take(store.watch("/", second), 1)] == ["/b"]

    async def test_a_long_history_is_bounded(self, make_store):
        store = await make_store(history_max=50)
        for number in range(200):
            await store.create(f"/k/{number:03}", b"")
        with pytest.raises(Compacted):
            await take(store.watch("/", 1), 1)
        assert len((await store.list("/k/")).entries) == 200

    async def test_a_slow_watcher_loses_nothing(self, make_store, monkeypatch):
        monkeypatch.setattr("tiphys.store.feed.QUEUE_MAX", 5)
        store = await make_store()
        watch = store.watch("/", 0)
        await store.create("/first", b"")
        seen = await take(watch, 1)
        for number in range(20):
            await store.create(f"/k/{number}", b"")
        seen += await take(watch, 20)
        assert [event.revision for event in seen] == list(range(1, 22))
