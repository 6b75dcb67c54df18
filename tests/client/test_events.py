"""Events are counted, bounded, and nobody waits for them."""

import asyncio

import pytest

from tiphys.api import resources
from tiphys.api.errors import failure
from tiphys.client import events
from tiphys.client.events import Recorder

EVENTS = resources.get("", "v1", "events")
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "n1"}}


@pytest.fixture
async def recorder(client):
    made = Recorder(client, "kubelet", "n1", asyncio.get_running_loop().now)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def recorded(recorder, client, namespace="shop"):
    await recorder.drained()
    return (await client.list(EVENTS, namespace)).items


async def test_an_event_says_who_saw_what_of_whom(recorder, client):
    recorder.warning(POD, "BackOff", "again", field_path="spec.containers{c}")
    (event,) = await recorded(recorder, client)
    subject = {"kind": "Pod", "namespace": "shop", "name": "web", "uid": "u1", "apiVersion": "v1"}
    assert event["involvedObject"] == {**subject, "resourceVersion": "7", "fieldPath": "spec.containers{c}"}
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Warning", "BackOff", "again", 1)
    assert event["source"] == {"component": "kubelet", "host": "n1"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2027-01-15T08:00:00Z"


async def test_equal_events_are_one_that_counts(recorder, client):
    for _ in range(3):
        recorder.normal(POD, "Pulled", "here")
        await recorder.drained()
        await asyncio.sleep(60)
    (event,) = await recorded(recorder, client)
    assert event["count"] == 3
    assert (event["firstTimestamp"], event["lastTimestamp"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:02:00Z")


async def test_different_events_of_one_instant_have_two_names(recorder, client):
    recorder.normal(POD, "Pulled", "here")
    recorder.normal(POD, "Created", "made")
    assert len(await recorded(recorder, client)) == 2


async def test_an_event_that_expired_is_written_anew(recorder, client):
    recorder.normal(POD, "Pulled", "here")
    (event,) = await recorded(recorder, client)
    await client.delete(EVENTS, ("shop", event["metadata"]["name"]))
    recorder.normal(POD, "Pulled", "here")
    (again,) = await recorded(recorder, client)
    assert again["count"] == 1 and again["metadata"]["name"] != event["metadata"]["name"]


async def test_events_of_what_has_no_namespace_are_in_default(recorder, client):
    recorder.normal(NODE, "NodeReady", "it is")
    assert len(await recorded(recorder, client, "default")) == 1


async def test_an_api_that_refuses_costs_the_event_and_no_more(recorder, client, api):
    api.fail = failure(403, "Forbidden", "not you")
    recorder.normal(POD, "Pulled", "here")
    await recorder.drained()
    api.fail = None
    recorder.normal(POD, "Created", "made")
    assert [event["reason"] for event in await recorded(recorder, client)] == ["Created"]


async def test_too_many_waiting_events_are_dropped_with_a_word(client, caplog, monkeypatch):
    monkeypatch.setattr(events, "QUEUE_MAX", 10)
    recorder = Recorder(client, "kubelet")
    for number in range(events.QUEUE_MAX + 1):
        recorder.normal(POD, "Pulled", str(number))
    assert caplog.text.count("too many events wait, dropped: Pulled web") == 1


async def test_long_messages_are_cut(recorder, client):
    recorder.normal(POD, "Pulled", "x" * 5000)
    assert len((await recorded(recorder, client))[0]["message"]) == events.MESSAGE_MAX


async def test_only_so_many_events_are_remembered(recorder, client, monkeypatch):
    monkeypatch.setattr(events, "REMEMBERED_MAX", 2)
    for message in ("a", "b", "c", "a"):
        recorder.normal(POD, "Pulled", message)
    assert [event["count"] for event in await recorded(recorder, client)] == [1, 1, 1, 1]


async def test_from_the_tenth_different_message_on_they_are_one_event(recorder, client):
    for number in range(14):
        recorder.warning(POD, "FailedMount", f"volume {number}")
        await recorder.drained()
    found = await recorded(recorder, client)
    combined = [event for event in found if event["message"].startswith("(combined")]
    assert len(found) == 10 and len(combined) == 1
    assert (combined[0]["message"], combined[0]["count"]) == ("(combined from similar events): volume 13", 5)


async def test_after_ten_quiet_minutes_messages_are_told_apart_again(recorder, client):
    for number in range(10):
        recorder.warning(POD, "FailedMount", f"volume {number}")
    await recorder.drained()
    await asyncio.sleep(601)
    recorder.warning(POD, "FailedMount", "volume 99")
    assert "volume 99" in [event["message"] for event in await recorded(recorder, client)]


async def test_one_object_has_a_budget_and_others_are_not_touched(recorder, client):
    for _ in range(40):
        recorder.warning(POD, "BackOff", "again")
        await recorder.drained()
    recorder.warning({**POD, "metadata": {**POD["metadata"], "name": "other", "uid": "u2"}}, "BackOff", "again")
    first, other = sorted(await recorded(recorder, client), key=lambda event: -event["count"])
    assert (first["count"], other["count"]) == (25, 1)
    await asyncio.sleep(301)
    recorder.warning(POD, "BackOff", "again")
    assert {event["count"] for event in await recorded(recorder, client)} == {41, 1}
