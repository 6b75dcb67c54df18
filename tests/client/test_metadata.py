"""Every kind is kept by its metadata, once, and shared where the whole is held anyway."""

import asyncio

from tiphys.api import resources
from tiphys.client.informer import Informers
from tiphys.client.metadata import Metadata, collectable

PODS, SECRETS = resources.get("", "v1", "pods"), resources.get("", "v1", "secrets")


def test_every_kind_comes_once_and_events_never():
    names = [(resource.group, resource.name) for resource in collectable()]
    assert len(names) == len(set(names)) and {("", "pods"), ("apps", "deployments")} <= set(names)
    assert all(name != "events" for _, name in names)


def test_a_kind_of_several_versions_comes_in_the_preferred_one():
    (scaler,) = [resource for resource in collectable() if resource.name == "horizontalpodautoscalers"]
    assert scaler.version == "v2"


def test_full_informers_are_shared_and_others_are_its_own(client):
    informers = Informers(client)
    metadata = Metadata(client, informers, [PODS])
    assert metadata.informers[PODS] is informers.of(PODS)
    assert metadata.informers[SECRETS] is not informers.of(SECRETS)


async def test_it_is_synced_when_every_kind_is(client, put):
    await put("a", k="v")
    informers = Informers(client)
    metadata = Metadata(client, informers, [PODS])
    tasks = [asyncio.create_task(part.run()) for part in (informers, metadata)]
    await metadata.synced()
    assert all(informer.is_synced for informer in metadata.informers.values())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
