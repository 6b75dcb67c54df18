"""Bodies of lists: the same bytes as if they were made anew, and not too many of them."""

from __future__ import annotations

import orjson
import pytest

from tiphys.apiserver import bodies
from tiphys.apiserver.bodies import Bodies, Question, joined
from tiphys.apiserver.records import Record

HEAD = b'{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"%d"}'


def record(name: str, revision: int) -> Record:
    uid = "0" * 36
    value = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "uid": uid}, "data": {"key": name}}
    return Record(f"/registry/configmaps/default/{name}", orjson.dumps(value), revision)


def question(modified: int, prefix: str = "/registry/configmaps/") -> Question:
    return Question(prefix, "", 0, modified)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_is_its_head_and_its_records(count):
    records = [record(f"name-{number}", number + 1) for number in range(count)]
    document = orjson.loads(joined(HEAD % 7, records))
    assert document["metadata"] == {"resourceVersion": "7"}
    assert [item["data"]["key"] for item in document["items"]] == [f"name-{number}" for number in range(count)]


def test_the_same_question_is_answered_with_the_same_bytes():
    kept = Bodies()
    first = kept.body(question(3), HEAD % 3, [record("one", 3)])
    assert kept.body(question(3), HEAD % 3, []) is first


def test_a_new_head_goes_before_the_items_of_before():
    kept, records = Bodies(), [record("one", 3)]
    kept.body(question(3), HEAD % 3, records)
    assert kept.body(question(3), HEAD % 99, []) == joined(HEAD % 99, records)
    assert kept.body(question(3), HEAD % 100, []) == joined(HEAD % 100, records)


def test_a_changed_collection_is_read_again():
    kept = Bodies()
    kept.body(question(3), HEAD % 3, [record("one", 3)])
    assert b"other" in kept.body(question(4), HEAD % 4, [record("other", 4)])


def test_what_was_not_asked_for_longest_goes_first(monkeypatch):
    kept = Bodies()
    one = kept.body(question(3, "/a/"), HEAD % 3, [record("one", 3)])
    monkeypatch.setattr(bodies, "BYTES_MAX", 2 * len(one) + 1)
    two = kept.body(question(3, "/b/"), HEAD % 3, [record("two", 3)])
    assert kept.body(question(3, "/a/"), HEAD % 3, []) is one
    kept.body(question(3, "/c/"), HEAD % 3, [record("six", 3)])
    assert kept.body(question(3, "/a/"), HEAD % 3, []) is one
    assert kept.body(question(3, "/b/"), HEAD % 3, []) != two


async def test_a_list_shows_each_change_at_once(ask):
    maps = "/api/v1/namespaces/shop/configmaps"
    for count, name in enumerate(("one", "two"), 1):
        await ask("POST", maps, {"metadata": {"name": name}})
        listed = (await ask("GET", maps)).body
        assert [item["metadata"]["name"] for item in listed["items"]] == ["one", "two"][:count]
        assert (await ask("GET", maps)).body == listed


async def test_another_kinds_change_moves_only_the_revision(ask):
    maps = "/api/v1/namespaces/shop/configmaps?limit=1"
    for name in ("one", "two"):
        await ask("POST", "/api/v1/namespaces/shop/configmaps", {"metadata": {"name": name}})
    first = (await ask("GET", maps)).body
    await ask("POST", "/api/v1/namespaces/shop/secrets", {"metadata": {"name": "other"}})
    second = (await ask("GET", maps)).body
    assert first["items"] == second["items"]
    assert int(first["metadata"]["resourceVersion"]) < int(second["metadata"]["resourceVersion"])
