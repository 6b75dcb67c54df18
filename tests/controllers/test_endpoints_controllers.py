"""Endpoints and their slices follow Services and pods; load balancers get the addresses of ready nodes."""

import pytest

from tiphys.api.objects import labels_of
from tiphys.controllers.endpoints.controller import EndpointsController
from tiphys.controllers.endpointslice.controller import EndpointSliceController
from tiphys.controllers.endpointslicemirroring.controller import EndpointSliceMirroringController
from tiphys.controllers.loadbalancer.controller import LoadBalancerController

PORT = {"port": 80, "targetPort": 8080, "protocol": "TCP"}
LIVING = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}


@pytest.fixture
async def shop(plane):
    plane.kubelet()
    await plane.start(EndpointsController, EndpointSliceController, EndpointSliceMirroringController)
    return plane


async def service(shop, name="web", **spec):
    return await shop.create("v1", "Service", name, spec={"ports": [PORT], "selector": {"app": name}, **spec})


async def web(shop, name, **labels):
    return await shop.create("v1", "Pod", name, labels={"app": "web", **labels}, spec=LIVING)


async def slices(shop):
    """(address, ready) of every endpoint."""
    found = await shop.list("EndpointSlice", "discovery.k8s.io/v1")
    listed = [endpoint for piece in found for endpoint in piece.get("endpoints") or ()]
    return sorted((one["addresses"][0], one["conditions"]["ready"]) for one in listed)


async def addresses(shop, name="web"):
    """(ready, not ready) of the Endpoints."""
    subsets = (await shop.get("Endpoints", name) or {}).get("subsets") or ()
    found = [
        [a["ip"] for subset in subsets for a in subset.get(part) or ()] for part in ("addresses", "notReadyAddresses")
    ]
    return tuple(found)


async def test_pods_that_are_selected_are_endpoints(shop):
    await service(shop)
    await web(shop, "a")
    await shop.create("v1", "Pod", "other", labels={"app": "db"}, spec=LIVING)
    await shop.settled()
    assert await slices(shop) == [("10.1.0.1", True)] and await addresses(shop) == (["10.1.0.1"], [])
    (piece,) = await shop.list("EndpointSlice", "discovery.k8s.io/v1")
    assert piece["ports"][0]["port"] == 8080


async def test_a_pod_that_becomes_unready_is_said_to_be(shop):
    await service(shop)
    pod = await web(shop, "a")
    await shop.settled()
    await shop.patch(pod, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "status")
    await shop.settled()
    assert await slices(shop) == [("10.1.0.1", False)] and await addresses(shop) == ([], ["10.1.0.1"])


async def test_a_pod_that_goes_and_one_that_changes_its_labels_leave(shop):
    await service(shop)
    first, second = await web(shop, "a"), await web(shop, "b")
    await shop.settled()
    assert len(await slices(shop)) == 2
    await shop.delete(first)
    await shop.patch(second, {"metadata": {"labels": {"app": "other"}}})
    await shop.settled()
    assert await slices(shop) == [] and await addresses(shop) == ([], [])


async def test_another_selector_brings_other_endpoints(shop):
    made = await service(shop)
    await shop.create("v1", "Pod", "db", labels={"app": "db"}, spec=LIVING)
    await shop.settled()
    await shop.patch(made, {"spec": {"selector": {"app": "db"}}})
    await shop.settled()
    assert await slices(shop) == [("10.1.0.1", True)]


async def test_a_slice_deleted_by_hand_comes_back(shop):
    await service(shop)
    await web(shop, "a")
    await shop.settled()
    await shop.delete((await shop.list("EndpointSlice", "discovery.k8s.io/v1"))[0])
    await shop.delete(await shop.get("Endpoints", "web"))
    await shop.settled()
    assert await slices(shop) == [("10.1.0.1", True)] and await addresses(shop) == (["10.1.0.1"], [])


async def test_an_external_name_has_no_endpoints(shop):
    await shop.create("v1", "Service", "web", spec={"type": "ExternalName", "externalName": "example.com"})
    await web(shop, "a")
    await shop.settled()
    assert await slices(shop) == []


async def test_hand_written_endpoints_are_mirrored_and_go_with_them(shop):
    await shop.create("v1", "Service", "db", spec={"ports": [PORT]})
    subset = {"addresses": [{"ip": "192.0.2.5"}], "ports": [{"port": 5432, "protocol": "TCP"}]}
    made = await shop.create("v1", "Endpoints", "db", subsets=[subset])
    await shop.settled()
    assert await slices(shop) == [("192.0.2.5", True)]
    (piece,) = await shop.list("EndpointSlice", "discovery.k8s.io/v1")
    assert labels_of(piece)["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
    await shop.delete(made)
    await shop.settled()
    assert await slices(shop) == []


async def test_a_load_balancer_gets_the_addresses_of_ready_nodes(plane):
    await plane.start(LoadBalancerController)
    node = await plane.node("n1", address="192.0.2.1")
    await plane.node("n2", ready="False", address="192.0.2.2")
    made = await service(plane, type="LoadBalancer")

    async def ingress():
        await plane.settled()
        status = (await plane.get("Service", "web"))["status"]["loadBalancer"]
        return [item["ip"] for item in status.get("ingress") or ()]

    assert await ingress() == ["192.0.2.1"]
    await plane.patch(node, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "status")
    assert await ingress() == []
    await plane.patch(node, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "status")
    assert await ingress() == ["192.0.2.1"]
    await plane.patch(made, {"spec": {"type": "ClusterIP"}})
    assert await ingress() == []
