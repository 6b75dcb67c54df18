"""The memory store keeps the contract, and pages and events agree with a plain model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.suite import StoreContract
from tiphys.store.door import StoreError
from tiphys.store.memory import MemoryStore


@pytest.fixture
def make_store():
    async def make(**options):
        return MemoryStore(**options)

    return make


@pytest.fixture
async def store(make_store):
    return await make_store()


class TestMemoryStore(StoreContract):
    pass


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["create", "update", "delete"])), max_size=30)


@given(STEPS)
async def test_the_past_is_what_it_was(steps):
    store, snapshots = MemoryStore(), {}
    for number, (key, verb) in enumerate(steps):
        held = await store.get(key)
        try:
            await write(store, key, verb, held.revision if held else 0, b"%d" % number)
        except StoreError:
            continue
        snapshots[store.revision] = list((await store.list("")).entries)
    for revision, entries in snapshots.items():
        assert list((await store.list("", revision=revision)).entries) == entries


async def write(store, key, verb, revision, value):
    if verb == "create":
        await store.create(key, value)
    elif verb == "update":
        await store.update(key, value, revision)
    else:
        await store.delete(key, revision)
