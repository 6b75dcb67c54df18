"""The official Python client: watches from a revision, their resume, their end, and lists that come as a watch."""

import json
import threading

import pytest
from kubernetes import watch
from kubernetes.informer import SharedInformer


@pytest.fixture
def seen(core, namespace):
    """Watch the ConfigMaps of the namespace until `count` events came; gives (type, name) and the watch."""

    def collect(count, **options):
        watching, events = watch.Watch(), []
        for event in watching.stream(core.list_namespaced_config_map, namespace, timeout_seconds=5, **options):
            events.append((event["type"], event["object"].metadata.name))
            if len(events) == count:
                break
        return events, watching

    return collect


def test_a_watch_tells_every_change_after_its_list(core, namespace, config_map, seen):
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    config_map("a", {"k": "v"})
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "w"}})
    core.delete_namespaced_config_map("a", namespace)
    events, _ = seen(3, resource_version=start)
    assert events == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_watch_goes_on_where_another_ended(core, namespace, config_map, seen):
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    config_map("a")
    config_map("b")
    _, first = seen(1, resource_version=start)
    assert seen(1, resource_version=first.resource_version)[0] == [("ADDED", "b")]


def test_a_selector_makes_changes_into_arrivals_and_departures(core, namespace, config_map, seen):
    config_map("a", tier="web")
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    for tier in ("db", "web"):
        core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": {"tier": tier}}})
    events, _ = seen(2, resource_version=start, label_selector="tier=web")
    assert events == [("DELETED", "a"), ("ADDED", "a")]


def test_a_watch_sees_what_happens_while_it_waits(core, namespace, config_map, seen):
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    later = threading.Timer(0.1, config_map, ("a",))
    later.start()
    assert seen(1, resource_version=start)[0] == [("ADDED", "a")]
    later.join()


def test_a_watch_ends_after_its_time(core, namespace):
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    answer = core.list_namespaced_config_map(
        namespace, watch=True, resource_version=start, timeout_seconds=1, _preload_content=False
    )
    assert answer.read() == b""


def test_a_list_can_come_as_a_watch_that_ends_its_beginning_with_a_bookmark(core, namespace, config_map):
    config_map("a")
    options = {"send_initial_events": True, "allow_watch_bookmarks": True, "timeout_seconds": 1}
    answer = core.list_namespaced_config_map(
        namespace, watch=True, resource_version_match="NotOlderThan", _preload_content=False, **options
    )
    events = [json.loads(line) for line in answer.read().splitlines()]
    assert [event["type"] for event in events[:3]] == ["ADDED", "ADDED", "BOOKMARK"]
    assert events[2]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_an_informer_holds_what_the_server_holds(core, namespace, config_map, until):
    config_map("a")
    informer = SharedInformer(core.list_namespaced_config_map, namespace=namespace, resync_period=0)
    deleted = []
    informer.add_event_handler("DELETED", lambda gone: deleted.append(gone.metadata.name))
    informer.start()
    until(lambda: f"{namespace}/a" in informer.cache.list_keys())
    config_map("b")
    until(lambda: f"{namespace}/b" in informer.cache.list_keys())
    core.delete_namespaced_config_map("a", namespace)
    until(lambda: deleted == ["a"])
    informer.stop()
