"""What a quota's status says, and what makes it be counted again."""

import asyncio
from fractions import Fraction

import pytest

from builders import EPOCH, pod
from tiny_api import TinyApi
from tiphys.aio import virtual
from tiphys.api import quota as quotas
from tiphys.api import resources
from tiphys.api.objects import parse_timestamp
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.client.metadata import Metadata
from tiphys.controllers.resourcequota.controller import WHOLE, ResourceQuotaController
from tiphys.controllers.resourcequota.plan import QUOTAS, count, is_lower, plan
from tiphys.reconcile.tools import Tools

PODS, SERVICES, SECRETS = (resources.get("", "v1", name) for name in ("pods", "services", "secrets"))


def quota(hard, status=None, **spec):
    meta = {"name": "q", "namespace": "shop", "uid": "uid-q"}
    return {"metadata": meta, "spec": {"hard": hard, **spec}, **({"status": status} if status else {})}


def asking(name, **requests):
    return pod(name, containers=[{"name": "c", "resources": {"requests": requests}}])


def used(obj, now=0.0, **objects):
    present = {resources.get("", "v1", name): items for name, items in objects.items()}
    (update,) = plan(obj, count(obj, present, now))
    return update.object["status"]["used"]


def test_the_status_has_the_limits_and_what_is_used():
    obj = quota({"pods": "5", "requests.memory": "4Gi", "cpu": "2"})
    (update,) = plan(obj, count(obj, {PODS: [asking("a", memory="1Gi"), asking("b", memory="1Gi", cpu="1500m")]}, 0))
    assert update.object["status"] == {
        "hard": obj["spec"]["hard"], "used": {"pods": "2", "requests.memory": "2Gi", "cpu": "1500m"},
    }  # fmt: skip


def test_settled_means_no_commands():
    hard = {"pods": "5", "cpu": "2"}
    settled = quota(hard, {"hard": hard, "used": {"pods": "1", "cpu": "0.5"}})
    assert plan(settled, count(settled, {PODS: [asking("a", cpu="500m")]}, 0)) == []


def test_names_that_nothing_answers_to_get_no_figure():
    assert used(quota({"secrets": "1", "example.com/wish": "1"}), secrets=[]) == {"secrets": "0"}


def test_pods_that_are_over_count_for_their_number_only():
    obj = quota({"pods": "5", "count/pods": "5"})
    assert used(obj, pods=[pod("a"), pod("b", phase="Failed")]) == {"pods": "1", "count/pods": "2"}


def test_a_pod_that_hangs_in_its_deletion_counts_until_twice_its_grace():
    obj, hanging = quota({"pods": "5"}), pod("a", deleting=True)
    hanging["metadata"]["deletionGracePeriodSeconds"] = 30
    end = parse_timestamp(EPOCH) + 30
    assert (used(obj, end, pods=[hanging]), used(obj, end + 1, pods=[hanging])) == ({"pods": "1"}, {"pods": "0"})


def test_scopes_leave_out_what_they_do_not_choose():
    obj = quota({"pods": "5", "secrets": "1"}, scopes=["BestEffort"])
    assert used(obj, pods=[pod("a"), asking("b", cpu="1")], secrets=[{"metadata": {}}]) == {"pods": "1", "secrets": "0"}


def test_a_claim_can_be_in_the_scope_of_its_attributes_class():
    scope = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}
    obj = quota({"persistentvolumeclaims": "5"}, scopeSelector={"matchExpressions": [scope]})
    claims = [{"spec": {"volumeAttributesClassName": "gold"}}, {"spec": {}}]
    assert used(obj, persistentvolumeclaims=claims) == {"persistentvolumeclaims": "1"}


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        (PODS, "requests.example.com/gpu"), (PODS, "requests.hugepages-2Mi"), (PODS, "hugepages-2Mi"), (PODS, "cpu"),
        (SERVICES, "services.nodeports"), (SECRETS, "count/secrets"),
        (resources.get("", "v1", "persistentvolumeclaims"), "gold.storageclass.storage.k8s.io/requests.storage"),
        (resources.get("apps", "v1", "deployments"), "count/deployments.apps"),
    ],
)  # fmt: skip
def test_each_name_is_about_one_kind(resource, name):
    others = {resources.get("", "v1", each) for each in ("pods", "services", "secrets", "persistentvolumeclaims")}
    assert quotas.counts(resource, name)
    assert not any(quotas.counts(other, name) for other in others - {resource})


def test_less_than_was_charged_is_told_from_more():
    obj = quota({"pods": "5"}, {"hard": {"pods": "5"}, "used": {"pods": "2"}})
    assert is_lower(obj, {"pods": Fraction(1)}) and not is_lower(obj, {"pods": Fraction(3)})


class Shop:
    """A namespace with its controller, on virtual time."""

    def __init__(self):
        client = Client(TinyApi())
        self.client, self.informers = client, Informers(client)
        metadata = Metadata(client, self.informers, [*WHOLE, QUOTAS])
        now = asyncio.get_running_loop().now
        controller = ResourceQuotaController(Tools(client, self.informers, Recorder(client, "c"), now), metadata)
        self.runs = (self.informers.run, metadata.run, controller.run)

    async def used(self, seconds):
        await asyncio.sleep(seconds)
        return (await self.client.get(QUOTAS, "q", "shop"))["status"]["used"]


def in_a_shop(story):
    async def main():
        shop = Shop()
        tasks = [asyncio.create_task(run()) for run in shop.runs]
        try:
            await shop.client.create(QUOTAS, quota({"pods": "3", "count/secrets": "3"}), "shop")
            await shop.client.create(PODS, pod("a"))
            await story(shop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    virtual.run(main())


def test_what_was_created_beside_the_first_count_is_found_by_the_second():
    async def story(shop):
        assert await shop.used(6) == {"pods": "1", "count/secrets": "0"}

    in_a_shop(story)


def test_what_is_deleted_or_finished_is_free_at_once():
    async def story(shop):
        await shop.client.create(PODS, pod("b", phase="Running"))
        secret = {"metadata": {"name": "s", "namespace": "shop", "uid": "u"}}
        await shop.client.create(SECRETS, secret, "shop")
        held = await shop.client.get(QUOTAS, "q", "shop")
        charged = {"hard": {"pods": "3", "count/secrets": "3"}, "used": {"pods": "2", "count/secrets": "1"}}
        await shop.client.update(QUOTAS, held | {"status": charged}, subresource="status")
        await shop.client.patch(PODS, ("shop", "a"), {"status": {"phase": "Succeeded"}}, subresource="status")
        await shop.client.delete(SECRETS, ("shop", "s"))
        assert await shop.used(1) == {"pods": "1", "count/secrets": "0"}

    in_a_shop(story)


def test_a_charge_for_nothing_is_taken_back():
    async def story(shop):
        await asyncio.sleep(10)
        held = await shop.client.get(QUOTAS, "q", "shop")
        charged = {"hard": {"pods": "3", "count/secrets": "3"}, "used": {"pods": "3", "count/secrets": "1"}}
        await shop.client.update(QUOTAS, held | {"status": charged}, subresource="status")
        assert (await shop.used(1))["pods"] == "3"
        assert await shop.used(6) == {"pods": "1", "count/secrets": "0"}

    in_a_shop(story)
