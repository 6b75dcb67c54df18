"""What depends on a deleted object goes with it, after it, before it, or not at all, as the deletion asks."""

import pytest

from builders import reference
from tiphys.controllers.garbage.controller import GarbageController
from tiphys.controllers.namespace.controller import NamespaceController


@pytest.fixture
async def shop(plane):
    await plane.start(GarbageController, NamespaceController)
    return plane


async def family(shop, **child):
    """A parent with two children, of which the first has a child of its own."""
    parent = await shop.create("v1", "ConfigMap", "parent")
    first = await shop.create("v1", "Secret", "first", owners=[reference(parent)], **child)
    await shop.create("v1", "Secret", "second", owners=[reference(parent)])
    await shop.create("v1", "ConfigMap", "grandchild", owners=[reference(first)])
    await shop.settled()
    return parent, first


async def test_in_the_background_all_descendants_follow(shop):
    parent, _ = await family(shop)
    await shop.delete(parent, "Background")
    assert await shop.get("ConfigMap", "parent") is None
    await shop.settled()
    assert (await shop.names("Secret"), await shop.names("ConfigMap")) == ([], [])


async def test_in_the_foreground_the_parent_waits_for_its_children(shop):
    parent, first = await family(shop, finalizers=["example.com/hold"])
    await shop.delete(parent, "Foreground")
    await shop.settled()
    assert (await shop.get("ConfigMap", "parent"))["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert await shop.names("Secret") == ["first"]
    await shop.patch(first, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/hold"]}})
    await shop.settled()
    assert (await shop.names("Secret"), await shop.names("ConfigMap")) == ([], [])


async def test_a_child_that_does_not_block_is_not_waited_for(shop):
    parent = await shop.create("v1", "ConfigMap", "parent")
    owner = reference(parent) | {"blockOwnerDeletion": False}
    await shop.create("v1", "Secret", "held", owners=[owner], finalizers=["example.com/hold"])
    await shop.settled()
    await shop.delete(parent, "Foreground")
    await shop.settled()
    assert await shop.names("ConfigMap") == []
    assert "deletionTimestamp" in (await shop.get("Secret", "held"))["metadata"]


async def test_orphans_stay_and_know_no_parent(shop):
    parent, _ = await family(shop)
    await shop.delete(parent, "Orphan")
    await shop.settled()
    assert await shop.names("ConfigMap") == ["grandchild"]
    assert all("ownerReferences" not in secret["metadata"] for secret in await shop.list("Secret"))
    assert len(await shop.names("Secret")) == 2


async def test_who_has_another_living_owner_stays_and_forgets_the_gone_one(shop):
    one, other = await shop.create("v1", "ConfigMap", "one"), await shop.create("v1", "ConfigMap", "other")
    shared = [reference(one), reference(other) | {"controller": False}]
    await shop.create("v1", "Secret", "shared", owners=shared)
    await shop.settled()
    await shop.delete(one)
    await shop.settled()
    owners = (await shop.get("Secret", "shared"))["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["other"]


async def test_an_owner_that_never_was_takes_its_dependents_with_it(shop):
    nobody = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "never"}
    await shop.create("v1", "Secret", "a", owners=[nobody])
    await shop.create("v1", "Secret", "b", owners=[nobody])
    await shop.settled()
    assert await shop.names("Secret") == []


async def test_an_owner_of_the_same_name_is_not_the_owner(shop):
    first = await shop.create("v1", "ConfigMap", "parent")
    await shop.delete(first)
    await shop.create("v1", "ConfigMap", "parent")
    await shop.create("v1", "Secret", "late", owners=[reference(first)])
    await shop.settled()
    assert await shop.names("Secret") == [] and await shop.names("ConfigMap") == ["parent"]


async def test_an_owner_of_a_kind_that_is_not_served_may_come_back(shop):
    unknown = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": "w"}
    await shop.create("v1", "Secret", "a", owners=[unknown])
    await shop.settled()
    assert await shop.names("Secret") == ["a"]


async def test_nothing_outside_of_namespaces_is_owned_from_inside_of_one(shop):
    inside = await shop.create("v1", "ConfigMap", "inside")
    await shop.create("v1", "Node", "n1", owners=[reference(inside)])
    await shop.settled()
    assert await shop.get("Node", "n1") is None


async def test_a_namespace_takes_its_contents_with_it(shop):
    await family(shop)
    await shop.create("v1", "ConfigMap", "elsewhere", namespace="default")
    await shop.delete(await shop.get("Namespace", "shop"))
    await shop.settled()
    assert await shop.get("Namespace", "shop") is None
    assert await shop.get("ConfigMap", "elsewhere", namespace="default") is not None


async def test_a_namespace_says_what_holds_it_up(shop):
    held = await shop.create("v1", "Secret", "held", finalizers=["example.com/hold"])
    await shop.delete(await shop.get("Namespace", "shop"))
    await shop.settled()
    conditions = {c["type"]: c for c in (await shop.get("Namespace", "shop"))["status"]["conditions"]}
    assert conditions["NamespaceFinalizersRemaining"]["status"] == "True"
    assert "example.com/hold in 1 resource instances" in conditions["NamespaceFinalizersRemaining"]["message"]
    await shop.patch(held, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/hold"]}})
    await shop.settled()
    assert await shop.get("Namespace", "shop") is None
