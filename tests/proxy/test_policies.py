"""Network policies in the kernel: who reaches whom."""

import asyncio
import socket

import pytest

from builders import pod
from network_builders import ask, call, nft, socket_in
from service_builders import endpoints, labelled, namespace, policy, service

pytestmark = pytest.mark.host
QUICK_SECONDS = 0.3
DENY = policy("deny", ingress=[])


async def reaches(client, address, port=8080):
    """Whether a new connection from the lease gets through."""
    return await call(socket_in(client), address, port) != ""


async def misses(client, address, port=8080):
    """Whether it does not: what is dropped is only known by the time it takes."""
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(ask, socket_in(client), address, port, QUICK_SECONDS)
    return True


async def placed(bench, name, **labels):
    """A pod that runs, as the agent brings it up: guarded first, then in the API with its address."""
    one = pod(name, labels=labels)
    lease = await bench.pod(one["metadata"]["uid"])
    await bench.proxy.guarded(one, lease.address)
    one["status"]["podIP"] = lease.address
    await bench.put(one)
    # A new link may lose its first packets: later ones shall only be lost on purpose.
    await call(socket.socket(), lease.address, 8080)
    return lease


@pytest.fixture
async def shop(bench):
    """A web pod, a client with the label `role: friend` and one without."""
    await bench.put(namespace("shop"))
    return [await placed(bench, name, **labels) for name, labels in SHOP.items()]


def rules_of_policies():
    listed = nft("list", "table", "ip", "tiphystest-services").splitlines()
    return [line for line in listed if any(word in line for word in ("policies", "policy-", "peers-"))]


SHOP = {"web": {"app": "web"}, "friend": {"role": "friend"}, "stranger": {"role": "stranger"}}


async def test_without_policies_there_are_no_chains_for_them(bench, shop):
    web, _, stranger = shop
    assert rules_of_policies() == [] and await reaches(stranger, web.address)


async def test_default_deny_closes_pods_to_each_other_and_not_to_their_node(bench, shop):
    web, friend, _ = shop
    await bench.put(DENY)
    assert await misses(friend, web.address)
    assert await call(socket.socket(), web.address, 8080) == web.gateway


async def test_a_label_opens_what_default_deny_has_closed_and_deletion_opens_all(bench, shop):
    web, friend, stranger = shop
    allow = policy("allow", pods={"app": "web"}, ingress=[{"from": [labelled(role="friend")]}])
    await bench.put(DENY, allow)
    assert await reaches(friend, web.address) and await misses(stranger, web.address)
    await bench.remove(allow)
    await bench.remove(DENY)
    assert await reaches(stranger, web.address) and rules_of_policies() == []


async def test_an_established_connection_outlives_the_policy_that_forbids_it(bench, shop):
    web, friend, _ = shop
    with socket_in(friend) as made:
        await asyncio.to_thread(made.connect, (web.address, 8080))
        await bench.put(DENY)
        assert await asyncio.to_thread(made.recv, 100) == friend.address.encode()


async def test_a_service_is_judged_by_the_pod_behind_it(bench, shop):
    web, friend, stranger = shop
    to_web = [{"to": [labelled(app="web")], "ports": [{"port": 8080}]}]
    await bench.put(service(), endpoints("web", web.address), policy(egress=to_web))
    assert await reaches(friend, "10.92.0.10", 80) and await misses(friend, stranger.address)


async def test_a_pod_reaches_itself_through_its_service_whatever_the_policies(bench, shop):
    web, _, _ = shop
    await bench.put(service(), endpoints("web", web.address), policy(ingress=[], egress=[]))
    assert await reaches(web, "10.92.0.10", 80)


async def test_blocks_with_exceptions_and_named_ports(bench, shop):
    web, friend, stranger = shop
    block = {"cidr": "10.91.0.0/24", "except": [f"{stranger.address}/32"]}
    named = pod("web", labels={"app": "web"}, containers=[{"name": "c", "image": "i", "ports": [
        {"name": "http", "containerPort": 8080}]}])  # fmt: skip
    named["status"]["podIP"] = web.address
    await bench.put(named, policy(ingress=[{"from": [{"ipBlock": block}], "ports": [{"port": "http"}]}]))
    assert await reaches(friend, web.address) and await misses(stranger, web.address)


async def test_a_namespace_that_gets_a_label_gets_in(bench, shop):
    web, friend, _ = shop
    await bench.put(policy(ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]}]))
    assert await misses(friend, web.address)
    await bench.put(namespace("shop", team="a"))
    assert await reaches(friend, web.address)


async def test_a_new_pod_is_closed_before_it_is_told_of(bench, shop):
    _, friend, _ = shop
    await bench.put(DENY)
    lease = await bench.pod("uid-late")
    await bench.proxy.guarded(pod("late"), lease.address)
    await call(socket.socket(), lease.address, 8080)
    assert await misses(friend, lease.address)


async def test_an_address_that_was_given_back_is_open_for_the_next(bench, shop):
    web, friend, _ = shop
    await bench.put(policy(pods={"app": "web"}, ingress=[]))
    bench.proxy.released("uid-web")
    await bench.turn()
    assert await reaches(friend, web.address)
