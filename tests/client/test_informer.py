"""The cache shows what the API holds, through cut watches, old versions and failures."""

import asyncio

import orjson
import pytest

from tiphys.api import resources
from tiphys.api.errors import failure
from tiphys.client.client import Client
from tiphys.client.informer import Informer, Informers
from tiphys.wire.messages import Response

CONFIGMAPS = resources.get("", "v1", "configmaps")
GONE = failure(410, "Expired", "too old resource version")


@pytest.fixture
async def follow(client):
    """Starts an informer and gives it once it is synced."""
    tasks = []

    async def start(**parameters):
        informer = Informer(client, CONFIGMAPS, **parameters)
        tasks.append(asyncio.create_task(informer.run()))
        await informer.synced()
        await asyncio.sleep(0.001)  # the watch is there
        return informer

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def cut(api):
    """Ends all watches, as a server does that restarts."""

    def end():
        for _, _, queue in api._watchers.values():
            queue.put_nowait(None)

    return end


def told(informer):
    """The events from now on, as (name before, name after)."""
    events = []
    informer.on_event(lambda *pair: events.append(tuple(obj and obj["metadata"]["name"] for obj in pair)))
    return events


def names(objects):
    return sorted(obj["metadata"]["name"] for obj in objects)


async def test_it_holds_what_was_there_and_what_comes(follow, put):
    await put("a")
    informer = await follow()
    written = await put("b")
    assert await informer.reached(written["metadata"]["resourceVersion"])
    assert names(informer.list()) == ["a", "b"] and len(informer) == 2


async def test_handlers_hear_of_additions_changes_and_deletions(follow, put, client):
    informer = await follow()
    events = told(informer)
    await put("a")
    await put("a", k="v")
    await client.delete(CONFIGMAPS, ("shop", "a"))
    await asyncio.sleep(1)
    assert events == [(None, "a"), ("a", "a"), ("a", None)]
    assert informer.get("shop", "a") is None and list(informer.list("shop")) == []


async def test_a_late_handler_hears_of_what_is_there(follow, put):
    await put("a")
    assert told(await follow()) == [(None, "a")]


async def test_a_handler_that_fails_keeps_no_other_from_hearing(follow, put, caplog):
    informer = await follow()

    def broken(old, new):
        raise ValueError("broken")

    informer.on_event(broken)
    events = told(informer)
    await put("a")
    await asyncio.sleep(1)
    assert events == [(None, "a")] and "a handler of configmaps failed" in caplog.text


async def test_a_namespace_is_listed_alone(follow, put):
    await put("a")
    await put("b", namespace="other")
    informer = await follow()
    assert (names(informer.list("shop")), list(informer.list("nowhere"))) == (["a"], [])


async def test_an_index_follows_changes(follow, put, client):
    await put("a", labels={"tier": "web"})
    informer = await follow()
    informer.add_index("tier", lambda obj: [obj["metadata"]["labels"]["tier"]])
    informer.add_index("tier", lambda obj: ["asked for twice"])
    assert names(informer.by("tier", "web")) == ["a"]
    await put("a", labels={"tier": "db"})
    await asyncio.sleep(1)
    assert (names(informer.by("tier", "web")), names(informer.by("tier", "db"))) == ([], ["a"])
    await client.delete(CONFIGMAPS, ("shop", "a"))
    await asyncio.sleep(1)
    assert list(informer.by("tier", "db")) == []


async def test_a_cut_watch_goes_on_where_it_was(follow, put, line, cut):
    informer = await follow()
    version = (await put("a"))["metadata"]["resourceVersion"]
    assert await informer.reached(version)
    cut()
    await put("b")
    await asyncio.sleep(1)
    assert names(informer.list()) == ["a", "b"]
    assert [target.partition("?")[2].split("&")[:2] for target in line.targets[1:]] == [
        ["watch=1", "resourceVersion=0"],
        ["watch=1", f"resourceVersion={version}"],
    ]


async def test_after_410_it_lists_again_and_tells_only_what_differs(follow, put, client, line, cut):
    for name in ("kept", "changed", "removed"):
        await put(name)
    informer = await follow()
    events = told(informer)
    del events[:]
    line.answers = [GONE]
    cut()
    await put("changed", k="v")
    await put("new")
    await Client(line.api).delete(CONFIGMAPS, ("shop", "removed"))
    await asyncio.sleep(1)
    assert sorted(events, key=str) == [("changed", "changed"), ("removed", None), (None, "new")]


async def test_an_error_inside_of_a_watch_also_means_to_list_again(follow, put, line, cut):
    await put("a")
    informer = await follow()

    async def expired():
        yield orjson.dumps({"type": "ERROR", "object": GONE.status}) + b"\n"

    line.answers = [Response(200, body=expired())]
    cut()
    written = await put("b")
    assert await informer.reached(written["metadata"]["resourceVersion"])
    assert "watch" not in line.targets[-2] and "watch" in line.targets[-1]


@pytest.mark.parametrize("error", [failure(500, "InternalError", "broken"), ConnectionResetError("cut")])
async def test_failures_are_told_once_and_tried_again_later_and_later(client, line, put, error, caplog):
    await put("a")
    line.answers = [error] * 6
    informer = Informer(client, CONFIGMAPS)
    task = asyncio.create_task(informer.run())
    await informer.synced()
    waited = asyncio.get_running_loop().time()
    task.cancel()
    assert names(informer.list()) == ["a"]
    assert caplog.text.count("watching configmaps failed") == 1
    assert sum(0.05 * 2**n for n in range(1, 7)) / 2 <= waited <= sum(0.05 * 2**n for n in range(1, 7))


async def test_waiting_for_a_version_that_does_not_come_ends(follow):
    informer = await follow()
    before = asyncio.get_running_loop().time()
    assert not await informer.reached("999999", timeout_seconds=5)
    assert asyncio.get_running_loop().time() - before == pytest.approx(5)
    assert informer._waiters == []


async def test_who_is_cancelled_while_the_version_comes_stays_cancelled(follow):
    informer = await follow()
    waiting = asyncio.create_task(informer.reached("999999"))
    await asyncio.sleep(0)
    informer._advance("999999")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_selectors_go_with_lists_and_watches(follow, line):
    await follow(namespace="shop", field_selector="metadata.name=a")
    assert all("fieldSelector=metadata.name%3Da" in target for target in line.targets)
    assert all(target.startswith("/api/v1/namespaces/shop/configmaps?") for target in line.targets)


async def test_parts_share_one_informer_per_resource_whenever_they_ask(client, put):
    informers = Informers(client)
    early = informers.of(CONFIGMAPS)
    running = asyncio.create_task(informers.run())
    await informers.synced()
    late = informers.of(resources.get("", "v1", "secrets"))
    await late.synced()
    assert informers.of(CONFIGMAPS) is early and early.is_synced
    assert informers.apart(CONFIGMAPS, field_selector="metadata.name=a") is not early
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
