"""Every address of a Service has an IPAddress object, and ranges come and go with ServiceCIDRs."""

from tiphys.apiserver.server import Settings

NETWORKING = "/apis/networking.k8s.io/v1"
SERVICES = "/api/v1/namespaces/default/services"


def service(name, **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def objects(ask):
    """The Service that each address is told to belong to."""
    await ask.server._addresses.settled()
    items = (await ask("GET", f"{NETWORKING}/ipaddresses")).body["items"]
    return {item["metadata"]["name"]: item["spec"]["parentRef"]["name"] for item in items}


async def test_an_address_is_told_while_a_service_has_it(ask):
    held = (await ask("POST", SERVICES, service("web"))).body["spec"]["clusterIP"]
    assert (await objects(ask))[held] == "web"
    told = (await ask("GET", f"{NETWORKING}/ipaddresses/{held}")).body
    assert told["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "web"}
    assert told["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"] == "ipallocator.k8s.io"
    await ask("DELETE", f"{SERVICES}/web")
    assert held not in await objects(ask)


async def test_an_object_that_somebody_removes_comes_back(ask):
    assert (await objects(ask))["10.96.0.1"] == "kubernetes"
    await ask("DELETE", f"{NETWORKING}/ipaddresses/10.96.0.1")
    assert (await objects(ask))["10.96.0.1"] == "kubernetes"


async def test_an_address_moves_with_its_service(ask):
    await ask("POST", SERVICES, service("one", clusterIP="10.96.0.77"))
    await ask("DELETE", f"{SERVICES}/one")
    assert (await ask("POST", SERVICES, service("two", clusterIP="10.96.0.77"))).status == 201
    assert (await objects(ask))["10.96.0.77"] == "two"


async def test_an_address_that_is_held_by_hand_is_not_given_away(ask):
    parent = {"resource": "gateways", "group": "example.com", "name": "mine"}
    await ask("POST", f"{NETWORKING}/ipaddresses", {"metadata": {"name": "10.96.0.88"}, "spec": {"parentRef": parent}})
    refused = await ask("POST", SERVICES, service("web", clusterIP="10.96.0.88"))
    assert "provided IP is already allocated" in refused.message
    await ask("DELETE", f"{NETWORKING}/ipaddresses/10.96.0.88")
    assert (await ask("POST", SERVICES, service("web", clusterIP="10.96.0.88"))).status == 201


async def test_another_range_makes_room(serve):
    ask = await serve(settings=Settings(service_cidr="10.0.0.0/30"))
    await ask("POST", SERVICES, service("second"))
    assert "range is full" in (await ask("POST", SERVICES, service("third"))).message
    await ask("POST", f"{NETWORKING}/servicecidrs", {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.7.0.0/24"]}})
    made = await ask("POST", SERVICES, service("third"))
    assert made.body["spec"]["clusterIP"].startswith("10.7.0.")
    await ask("DELETE", f"{NETWORKING}/servicecidrs/more")
    assert (await ask("POST", SERVICES, service("fourth", clusterIP="10.7.0.9"))).status == 422
