"""Commands are sent in order, in growing batches, and what is already so is no failure."""

import asyncio

import pytest

from tiphys.api import resources
from tiphys.api.errors import StatusError, failure
from tiphys.client.client import Client
from tiphys.reconcile.commands import BATCH_MAX, Announce, Create, Delete, Patch, Requeue, Say, Update, perform

CONFIGMAPS, EVENTS = resources.get("", "v1", "configmaps"), resources.get("", "v1", "events")
OWNER = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
MADE = Announce(OWNER, "Made", "Made {name}", "FailedMake", "Cannot make {name}: {error}")


def config(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": data}


def create(number, **fields):
    return Create(CONFIGMAPS, config(f"c{number}"), **fields)


class Counted:
    """How many requests are under way together: each waits a second."""

    def __init__(self, api):
        self.api, self.open, self.peaks = api, 0, []

    async def __call__(self, request):
        self.open += 1
        if self.open == 1:
            self.peaks.append(0)
        self.peaks[-1] = max(self.peaks[-1], self.open)
        await asyncio.sleep(1)
        self.open -= 1
        return await self.api(request)


async def said(recorder, client):
    await recorder.drained()
    return [(event["type"], event["reason"], event["message"]) for event in (await client.list(EVENTS)).items]


async def test_creations_go_out_in_growing_batches(api, recorder):
    counted = Counted(api)
    performed = await perform(Client(counted), recorder, [create(n) for n in range(200)])
    assert counted.peaks == [1, 2, 4, 8, 16, 32, BATCH_MAX, BATCH_MAX, 9]
    assert [obj["metadata"]["name"] for obj in performed.created] == [f"c{n}" for n in range(200)]


async def test_patches_of_different_objects_go_out_together_and_of_one_object_in_order(api, client, recorder):
    for number in range(3):
        await client.create(CONFIGMAPS, config(f"c{number}"))
    counted = Counted(api)
    apart = [Patch(CONFIGMAPS, ("shop", f"c{n}"), {"data": {"k": "v"}}) for n in range(3)]
    await perform(Client(counted), recorder, apart)
    assert counted.peaks == [1, 2]
    await perform(
        Client(counted), recorder, [Patch(CONFIGMAPS, ("shop", "c0"), {"data": {"k": str(n)}}) for n in range(3)]
    )
    assert counted.peaks == [1, 2, 1, 1, 1]
    assert (await client.get(CONFIGMAPS, "c0", "shop"))["data"] == {"k": "2"}


async def test_a_refused_creation_costs_one_request(api, client, recorder):
    api.fail = failure(403, "Forbidden", "exceeded quota")
    with pytest.raises(StatusError, match="exceeded quota"):
        await perform(client, recorder, [create(n) for n in range(50)])
    assert len(api.requests) == 1


async def test_a_failure_is_raised_once_its_batch_has_ended(api, client, recorder):
    await client.create(CONFIGMAPS, config("c1"))
    with pytest.raises(StatusError):
        await perform(client, recorder, [create(n) for n in range(9)])
    assert sorted(name for _, _, name in api.objects) == ["c0", "c1", "c2"]


async def test_what_runs_together_is_of_one_kind_and_order_is_kept(api, client, recorder):
    made = await client.create(CONFIGMAPS, config("old"))
    delete = Delete(CONFIGMAPS, ("shop", "old"), made["metadata"]["uid"])
    await perform(client, recorder, [delete, create(1), Patch(CONFIGMAPS, ("shop", "c1"), {"data": {"k": "v"}})])
    assert [method for method, _ in api.requests] == ["POST", "DELETE", "POST", "PATCH"]


async def test_the_newest_version_of_each_resource_is_given_as_a_number(api, client, recorder):
    for number in range(12):
        performed = await perform(client, recorder, [create(f"{number}a"), create(f"{number}b")])
    assert int(performed.versions[CONFIGMAPS]) == max(
        int(o["metadata"]["resourceVersion"]) for o in api.objects.values()
    )


async def test_an_update_carries_its_version(api, client, recorder):
    made = await client.create(CONFIGMAPS, config("a"))
    await perform(client, recorder, [Update(CONFIGMAPS, {**made, "data": {"k": "v"}})])
    assert (await client.get(CONFIGMAPS, "a", "shop"))["data"] == {"k": "v"}


async def test_somebody_elses_equal_creation_is_as_good(client, recorder):
    await client.create(CONFIGMAPS, config("c1"))
    performed = await perform(client, recorder, [create(1, exists_ok=True)])
    assert performed.versions == {}
    with pytest.raises(StatusError):
        await perform(client, recorder, [create(1)])


async def test_deleting_what_is_gone_is_fine(client, recorder):
    assert (await perform(client, recorder, [Delete(CONFIGMAPS, ("shop", "none"))])).versions == {}


async def test_another_object_of_the_name_is_left_alone(api, client, recorder):
    await client.create(CONFIGMAPS, config("a"))
    await perform(client, recorder, [Delete(CONFIGMAPS, ("shop", "a"), "the uid of an older one")])
    assert len(api.objects) == 1


async def test_a_deletion_that_fails_otherwise_is_raised(api, client, recorder):
    api.fail = failure(409, "Conflict", "no uid was asked for")
    with pytest.raises(StatusError):
        await perform(client, recorder, [Delete(CONFIGMAPS, ("shop", "a"))])


async def test_what_was_made_is_announced(client, recorder):
    await perform(client, recorder, [create(1, announce=MADE)])
    assert await said(recorder, client) == [("Normal", "Made", "Made c1")]


async def test_what_could_not_be_made_is_announced_with_the_reason(client, recorder):
    await client.create(CONFIGMAPS, config("c1"))
    with pytest.raises(StatusError):
        await perform(client, recorder, [create(1, announce=MADE)])
    assert await said(recorder, client) == [("Warning", "FailedMake", 'Cannot make c1: "c1" already exists')]


async def test_saying_records_an_event(client, recorder):
    await perform(client, recorder, [Say(OWNER, "Warning", "Hm", "look at this"), Say(OWNER, "Normal", "Ah", "fine")])
    assert await said(recorder, client) == [("Warning", "Hm", "look at this"), ("Normal", "Ah", "fine")]


async def test_the_earliest_look_again_counts(client, recorder):
    assert (await perform(client, recorder, [Requeue(9), Requeue(3), create(1), Requeue(5)])).requeue_seconds == 3
    assert (await perform(client, recorder, [])).requeue_seconds is None
