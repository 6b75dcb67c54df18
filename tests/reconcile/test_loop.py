"""One worker per key, back-off after failures, and no plan on a picture older than the last write."""

import asyncio

import pytest

from builders import pod, replicaset
from tiphys.aio.queue import Backoff
from tiphys.api import resources
from tiphys.api.errors import failure
from tiphys.client.informer import Informer
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Loop, controller_key, own_key

CONFIGMAPS = resources.get("", "v1", "configmaps")
DONE = Performed({}, [], None)


def config(name):
    return {"metadata": {"name": name, "namespace": "shop"}}


class Bench:
    """A loop over ConfigMaps whose reconcile is told by the test; `runs` are (second, key)."""

    def __init__(self, client, reconcile, **options):
        self.client, self.inner, self.runs = client, reconcile, []
        self.informer = Informer(client, CONFIGMAPS)
        self.loop = Loop("tester", self._reconcile, {self.informer: own_key}, **options)

    async def _reconcile(self, key):
        self.runs.append((asyncio.get_running_loop().time(), key[1]))
        return await self.inner(key)


@pytest.fixture
async def bench(client):
    tasks = []

    async def start(reconcile, **options):
        made = Bench(client, reconcile, **options)
        tasks.extend(asyncio.create_task(part.run()) for part in (made.loop, made.informer))
        await made.informer.synced()
        await asyncio.sleep(0)
        return made

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def nothing(key):
    return None


async def test_what_exists_is_looked_at_once_the_caches_are_filled(client, bench):
    await client.create(CONFIGMAPS, config("a"))
    made = await bench(nothing)
    await asyncio.sleep(1)
    assert [key for _, key in made.runs] == ["a"]


async def test_nothing_is_done_while_a_cache_is_empty(client):
    made = Bench(client, nothing)
    running = asyncio.create_task(made.loop.run())
    made.loop.queue.add(("shop", "a"))
    await asyncio.sleep(60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert made.runs == []


async def test_one_key_has_one_worker_and_others_do_not_wait_for_it(bench):
    held = set()

    async def slow(key):
        assert key not in held
        held.add(key)
        await asyncio.sleep(10)
        held.discard(key)

    made = await bench(slow)
    for name in ("a", "b", "a"):
        made.loop.queue.add(("shop", name))
        await asyncio.sleep(1)
    await asyncio.sleep(30)
    assert made.runs == [(0, "a"), (1, "b"), (10, "a")]


async def test_failures_back_off_and_success_resets(bench, caplog):
    outcomes = [failure(500, "InternalError", "broken"), ValueError("ours"), DONE, ValueError("ours"), DONE]

    async def reconcile(key):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    made = await bench(reconcile, backoff=Backoff(1, 60))
    made.loop.queue.add(("shop", "a"))
    await asyncio.sleep(10)
    made.loop.queue.add(("shop", "a"))
    await asyncio.sleep(10)
    assert [when for when, _ in made.runs] == [0, 1, 3, 10, 11]
    assert "tester shop/a: broken (again in 1.000 s)" in caplog.text


async def test_a_conflict_is_no_warning(bench, caplog):
    outcomes = [failure(409, "Conflict", "somebody else wrote"), None]

    async def reconcile(key):
        if outcome := outcomes.pop(0):
            raise outcome

    made = await bench(reconcile)
    made.loop.queue.add(("shop", "a"))
    await asyncio.sleep(1)
    assert len(made.runs) == 2 and not [r for r in caplog.records if r.levelname == "WARNING"]


async def test_a_deadline_brings_the_key_again(bench):
    async def reconcile(key):
        return Performed({}, [], 30.0)

    made = await bench(reconcile)
    made.loop.queue.add(("shop", "a"))
    await asyncio.sleep(70)
    assert [when for when, _ in made.runs] == [0, 30, 60]


async def test_the_next_plan_sees_what_the_last_one_wrote(client, bench):
    seen = []

    async def create_once(key):
        seen.append(len(made.informer))
        if made.informer.get("shop", "child") is not None:
            return DONE
        written = await client.create(CONFIGMAPS, config("child"))
        made.loop.queue.add(key)
        return Performed({CONFIGMAPS: written["metadata"]["resourceVersion"]}, [written], None)

    made = await bench(create_once)
    made.loop.queue.add(("shop", "a"))
    await asyncio.sleep(1)
    assert seen[0] == 0 and set(seen[1:]) == {1}


async def test_a_cache_that_does_not_follow_holds_the_loop_up_for_seconds_only(bench, caplog):
    async def reconcile(key):
        return Performed({CONFIGMAPS: "999999"}, [], None)

    made = await bench(reconcile)
    made.loop.queue.add(("shop", "a"))
    await asyncio.sleep(6)
    assert "the cache of configmaps does not show version 999999" in caplog.text


def test_a_change_makes_its_own_object_due():
    assert list(own_key(None, config("a"))) == list(own_key(config("a"), None)) == [("shop", "a")]


def test_a_child_makes_its_controller_due_before_and_after_the_change():
    one, other = pod("p", owner=replicaset(1, name="one")), pod("p", owner=replicaset(1, name="other"))
    assert list(controller_key("ReplicaSet")(one, other)) == [("shop", "one"), ("shop", "other")]
    assert list(controller_key("Deployment")(one, None)) == []


async def test_what_a_namespace_that_ends_refuses_is_not_tried_again(client, bench):
    async def refused(key):
        cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
        raise failure(403, "Forbidden", "it is being terminated", details={"causes": [cause]})

    await client.create(CONFIGMAPS, config("a"))
    made = await bench(refused)
    await asyncio.sleep(60)
    assert [name for _, name in made.runs] == ["a"]
