"""Objects that change become records that change."""

import asyncio

import pytest

from dns_builders import query, zone
from service_builders import StillInformer, endpoints, service
from tiphys.dns import follow
from tiphys.dns.follow import Follower
from tiphys.dns.message import NXDOMAIN, parse

HEADLESS = service("db", clusterIP="None", clusterIPs=["None"])


class Informer(StillInformer):
    """As the real one, it tells a new handler of what is there already."""

    def on_event(self, handler):
        super().on_event(handler)
        for obj in self.list():
            handler(None, obj)


@pytest.fixture
async def cluster():
    """A zone that is followed; `await cluster.ask(name)` gives the addresses' last numbers once all is settled."""

    class Cluster:
        made = zone(namespaces=())
        informers = {key: Informer() for key in (follow.SERVICES, follow.ENDPOINT_SLICES, follow.NAMESPACES)}

        async def start(self):
            self.follower = Follower(self.made, self.informers.__getitem__)
            self.task = asyncio.create_task(self.follower.run())
            await self.follower.synced.wait()

        async def ask(self, name):
            for _ in range(5):
                await asyncio.sleep(0)
            return [record.data[-1] for record in self.made.answer(parse(query(f"{name}.cluster.local"))).answers]

    cluster = Cluster()
    cluster.services, cluster.slices, cluster.namespaces = cluster.informers.values()
    yield cluster
    cluster.task.cancel()
    await asyncio.gather(cluster.task, return_exceptions=True)


async def test_what_is_there_at_the_start_is_in_the_zone_when_it_is_synced(cluster):
    cluster.services.objects[("shop", "web")] = service()
    await cluster.start()
    assert await cluster.ask("web.shop.svc") == [10]


async def test_services_come_change_and_go(cluster):
    await cluster.start()
    cluster.services.put(service())
    assert await cluster.ask("web.shop.svc") == [10]
    cluster.services.put(service(clusterIP="10.92.0.11"))
    assert await cluster.ask("web.shop.svc") == [11]
    cluster.services.remove(service())
    assert await cluster.ask("web.shop.svc") == []


async def test_endpoints_of_a_headless_service_come_and_go(cluster):
    await cluster.start()
    cluster.services.put(HEADLESS)
    cluster.slices.put(endpoints("db", "10.42.0.5", suffix="a"))
    cluster.slices.put(endpoints("db", "10.42.0.6", suffix="b"))
    assert await cluster.ask("db.shop.svc") == [5, 6]
    cluster.slices.remove(endpoints("db", suffix="a"))
    assert await cluster.ask("db.shop.svc") == [6]


async def test_endpoints_behind_a_cluster_address_change_nothing(cluster):
    await cluster.start()
    cluster.services.put(service())
    await cluster.ask("web.shop.svc")
    before = cluster.made.serial
    cluster.slices.put(endpoints("web", "10.42.0.5"))
    await cluster.ask("web.shop.svc")
    assert cluster.made.serial == before


async def test_pods_of_a_namespace_have_names_while_it_exists(cluster):
    await cluster.start()
    cluster.namespaces.put({"metadata": {"name": "shop"}})
    assert await cluster.ask("10-42-0-7.shop.pod") == [7]
    cluster.namespaces.remove({"metadata": {"name": "shop"}})
    assert cluster.made.answer(parse(query("10-42-0-7.shop.pod.cluster.local"))).code == NXDOMAIN


async def test_a_service_that_cannot_be_read_harms_no_other(cluster, caplog):
    await cluster.start()
    cluster.services.put(
        {"metadata": {"namespace": "shop", "name": "bad"}, "spec": {"clusterIP": "10.92.0.3", "ports": [{}]}}
    )
    cluster.services.put(service())
    assert await cluster.ask("web.shop.svc") == [10]
    assert "shop/bad" in caplog.text
