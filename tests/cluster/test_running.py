"""Parts put together around a real API server: controllers, cluster DNS, and the administrator's way in."""

import asyncio
import base64
import dataclasses

import pytest

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.client.client import Client
from tiphys.client.informer import Informers
from tiphys.cluster import access, controllers, dns_service, master
from tiphys.cluster.failures import CannotServe
from tiphys.cluster.process import Progress
from tiphys.cluster.settings import Settings
from tiphys.wire.messages import Identity

ADMIN = Identity("admin", ("system:masters",))
PODS, SERVICES = resources.get("", "v1", "pods"), resources.get("", "v1", "services")
NODES, EVENTS = resources.get("", "v1", "nodes"), resources.get("", "v1", "events")
DEPLOYMENTS, SLICES = (
    resources.get("apps", "v1", "deployments"),
    resources.get("discovery.k8s.io", "v1", "endpointslices"),
)
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
WEB = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}
ROOM = {"cpu": "4", "memory": "8Gi", "pods": "110"}


@pytest.fixture
async def running(tmp_path):
    settings = Settings(data_dir=tmp_path, port=0, bind="127.0.0.1", memory=True, node_name="n1")
    async with master.serving(settings, Progress(None)) as made:
        yield made


@pytest.fixture
def admin(running):
    return Client(running.handle, identity=ADMIN)


@pytest.fixture
async def controlled(running):
    """With its controllers, as a cluster runs them: under RBAC, each as its own service account."""
    informers = Informers(controllers.reader(running))
    work = [controllers.run_all(controllers.build(running, informers)), informers.run()]
    tasks = [asyncio.create_task(part) for part in work]
    yield running
    for task in tasks:
        task.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True))


async def until(ask):
    for _ in range(1000):
        if answer := await ask():
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError("it never came true")


async def place_for_pods(admin):
    await admin.create(NODES, {"metadata": {"name": "n1"}})
    status = {"conditions": [{"type": "Ready", "status": "True"}], "capacity": ROOM, "allocatable": ROOM}
    await admin.patch(NODES, ("", "n1"), {"status": status}, subresource="status")


async def test_a_deployment_becomes_bound_pods_with_every_part_in_its_own_rights(controlled, admin, caplog):
    await place_for_pods(admin)

    async def deployed():
        try:
            return await admin.create(DEPLOYMENTS, {"metadata": {"name": "web", "namespace": "default"}, "spec": WEB})
        except StatusError as error:
            assert error.code in (403, 409)
            return error.code == 409

    await until(deployed)

    async def bound():
        pods = (await admin.list(PODS, "default")).items
        return len(pods) == 2 and all(pod["spec"].get("nodeName") == "n1" for pod in pods)

    await until(bound)
    assert "forbidden" not in caplog.text


async def test_a_part_that_ends_badly_ends_them_all():
    async def broken():
        raise ValueError("broken")

    async def patient():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(BaseExceptionGroup) as failed:
        await controllers.run_all([patient, broken])
    assert failed.value.subgroup(ValueError) is not None


async def test_cluster_dns_is_published_once_and_follows_its_address(running, admin):
    for address in ("10.42.0.1", "10.42.0.1", "10.43.0.1"):
        await dns_service.publish(running, address, 5353)
    service = await admin.get(SERVICES, "kube-dns", "kube-system")
    assert service["spec"]["clusterIP"] == running.settings.dns_address == "10.96.0.10"
    piece = await admin.get(SLICES, "kube-dns", "kube-system")
    assert piece["endpoints"][0]["addresses"] == ["10.43.0.1"] and {port["port"] for port in piece["ports"]} == {5353}
    assert piece["metadata"]["generation"] == 2


async def test_the_administrator_gets_in_from_another_process(tmp_path):
    settings = Settings(data_dir=tmp_path, port=0, bind="127.0.0.1", memory=True)
    async with (
        master.serving(settings, Progress(None)) as running,
        access.administrator(dataclasses.replace(settings, port=running.port)) as client,
    ):
        assert (await client.get(resources.get("", "v1", "namespaces"), "default"))["kind"] == "Namespace"


async def test_where_there_is_no_cluster_there_is_no_way_in(tmp_path):
    with pytest.raises(CannotServe, match="there is no cluster in"):
        async with access.administrator(Settings(data_dir=tmp_path)):
            raise AssertionError("it got in")


async def test_a_secret_is_filled_with_a_token_that_speaks_for_its_account(controlled, admin):
    secrets = resources.get("", "v1", "secrets")
    meta = {"name": "robot", "namespace": "default", "annotations": {"kubernetes.io/service-account.name": "default"}}
    accounts = resources.get("", "v1", "serviceaccounts")
    await until(lambda: _found(admin, accounts, "default"))
    await admin.create(secrets, {"metadata": meta, "type": "kubernetes.io/service-account-token"})

    async def token():
        return ((await admin.get(secrets, "robot", "default")).get("data") or {}).get("token")

    bearer = {"spec": {"token": base64.b64decode(await until(token)).decode()}}
    review = await admin.create(resources.get("authentication.k8s.io", "v1", "tokenreviews"), bearer)
    assert review["status"]["user"]["username"] == "system:serviceaccount:default:default"


async def _found(admin, resource, name):
    try:
        return await admin.get(resource, name, "default")
    except StatusError as error:
        assert error.code == 404, error
        return None


async def test_the_clusters_service_range_is_ready(controlled, admin):
    async def ready():
        held = await admin.get(resources.get("networking.k8s.io", "v1", "servicecidrs"), "kubernetes")
        return [one["status"] for one in (held.get("status") or {}).get("conditions", ())] == ["True"]

    await until(ready)
