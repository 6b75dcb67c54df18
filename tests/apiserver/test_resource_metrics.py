"""metrics.k8s.io: which nodes are asked, what is shown of what they tell, and in which words nothing is known."""

import asyncio

import orjson
import pytest

from tiphys.apiserver import pages
from tiphys.apiserver.metrics.extension import measured
from tiphys.apiserver.server import ApiServer, Extras
from tiphys.store.memory import MemoryStore
from tiphys.wire.messages import Identity, Request, Response

ADMIN = Identity("admin", ("system:masters",))
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
ROOT = "/apis/metrics.k8s.io/v1beta1"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


def figures(cores, memory=64 << 20):
    return {"at": 1_800_000_000.2, "window": 3.004, "nanoCores": int(cores * 1e9), "memory": memory}


class Machines:
    """The nodes of a cluster, each with what it answers; None: it is silent. `asked` counts."""

    def __init__(self):
        self.answers, self.asked = {}, []

    def node(self, node):
        name = node["metadata"]["name"]

        async def answer(request):
            self.asked.append(name)
            if self.answers.get(name) is None:
                raise ConnectionRefusedError
            return Response(200, body=orjson.dumps(self.answers[name]))

        return answer


class Api:
    def __init__(self):
        self.machines = Machines()
        self.server = ApiServer(MemoryStore(), extras=self.extras)

    def extras(self, cache):
        extension, metrics = measured(cache, self.machines)
        served = extension.served()
        return Extras(extension=extension, pages=[*pages.builtin({}, lambda: served), metrics], reach=self.machines)

    async def send(self, method, path, body=None, accept="application/json"):
        data = b"" if body is None else orjson.dumps(body)
        headers = {"accept": accept, "content-type": "application/json"}
        answer = await self.server.handle(Request(method, path, headers, data, identity=ADMIN))
        return answer.status, orjson.loads(answer.body)

    async def get(self, path, **more):
        return await self.send("GET", ROOT + path, **more)

    async def pod(self, name, node="n1", *, cores=0.25, running=1, labels=None):
        containers = [{"name": "c", "image": "i"}]
        body = {
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"nodeName": node, "containers": containers},
        }
        _, made = await self.send("POST", "/api/v1/namespaces/default/pods", body)
        made["status"]["phase"] = "Running"
        await self.send("PUT", f"/api/v1/namespaces/default/pods/{name}/status", made)
        told = {"uid": made["metadata"]["uid"], "name": name, "namespace": "default", "running": running}
        self.machines.answers[node]["pods"].append({**told, "containers": {"c": figures(cores)}})


@pytest.fixture
async def api():
    made = Api()
    await made.server.start()
    following = asyncio.ensure_future(made.server.run())
    await made.server.boot()
    for name in ("n1", "n2"):
        made.machines.answers[name] = {"node": figures(1.5, 1 << 30), "pods": []}
        await made.send("POST", "/api/v1/nodes", {"metadata": {"name": name, "labels": {"zone": name}}})
    yield made
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_shows_nodes(api):
    status, found = await api.get("/nodes")
    assert (status, found["kind"], len(found["items"])) == (200, "NodeMetricsList", 2)
    one = found["items"][0]
    assert one["usage"] == {"cpu": "1500000000n", "memory": "1048576Ki"}
    assert (one["timestamp"], one["window"]) == ("2027-01-15T08:00:00Z", "3.004s")


async def test_shows_containers_of_pods_that_run(api):
    await api.pod("web", labels={"app": "web"})
    _, found = await api.get("/namespaces/default/pods/web")
    assert found["containers"] == [{"name": "c", "usage": {"cpu": "250000000n", "memory": "65536Ki"}}]
    assert found["metadata"]["labels"] == {"app": "web"}


async def test_asks_only_nodes_with_a_pod_that_is_wanted(api):
    await api.pod("web", "n1", labels={"app": "web"})
    await api.pod("db", "n2", labels={"app": "db"})
    _, found = await api.get("/namespaces/default/pods?labelSelector=app%3Dweb")
    assert [item["metadata"]["name"] for item in found["items"]] == ["web"]
    assert api.machines.asked == ["n1"]


async def test_questions_that_come_together_reach_a_node_once(api):
    await api.pod("web")
    await asyncio.gather(*(api.get("/pods") for _ in range(5)))
    assert api.machines.asked == ["n1"]


async def test_a_silent_node_hides_only_its_own(api):
    api.machines.answers["n2"] = None
    _, found = await api.get("/nodes")
    assert [item["metadata"]["name"] for item in found["items"]] == ["n1"]
    status, refused = await api.get("/nodes/n2")
    assert (status, refused["message"]) == (404, 'nodemetrics.metrics.k8s.io "n2" not found')


async def test_a_pod_is_shown_when_all_its_containers_are_measured(api):
    await api.pod("web", running=2)
    status, refused = await api.get("/namespaces/default/pods/web")
    assert (status, refused["message"]) == (404, 'podmetrics.metrics.k8s.io "default/web" not found')
    assert (await api.get("/namespaces/default/pods/none"))[1]["message"] == 'pods "default/none" not found'


async def test_selects_by_fields_and_refuses_unknown_ones(api):
    _, found = await api.get("/nodes?fieldSelector=metadata.name%21%3Dn1")
    assert [item["metadata"]["name"] for item in found["items"]] == ["n2"]
    assert (await api.get("/pods?fieldSelector=spec.x%3D1"))[0] == 400


async def test_is_a_table_for_who_asks_for_one(api):
    _, table = await api.get("/nodes", accept=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
    assert table["rows"][0]["cells"] == ["n1", "1500000000n", "1048576Ki", "3.004s"]


async def test_is_discovered_and_registered(api):
    _, groups = await api.send("GET", "/apis")
    assert "metrics.k8s.io" in [group["name"] for group in groups["groups"]]
    _, listed = await api.send("GET", ROOT)
    assert [(one["name"], one["verbs"]) for one in listed["resources"]] == [
        ("nodes", ["get", "list"]),
        ("pods", ["get", "list"]),
    ]
    _, service = await api.send("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io")
    assert service["status"]["conditions"][0]["reason"] == "Local"


def arrivals(*pairs):
    told = {"at": 1_800_000_000.2, "window": 5.0}
    return {"services": {name: {**told, "perSecond": value} for name, value in pairs}}


async def test_adds_up_what_comes_to_a_service_through_all_nodes(api):
    spec = {"ports": [{"port": 80}]}
    await api.send("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "web"}, "spec": spec})
    api.machines.answers = {name: arrivals(("default/web", value)) for name, value in (("n1", 1.25), ("n2", 2.0))}
    path = f"{CUSTOM}/namespaces/default/services"
    status, found = await api.send("GET", f"{path}/web/requests_per_second")
    (value,) = found["items"]
    assert (status, value["value"], value["windowSeconds"]) == (200, "3250m", 5)
    assert value["describedObject"]["name"] == "web" and value["metric"]["name"] == "requests_per_second"
    assert len((await api.send("GET", f"{path}/*/connections_per_second"))[1]["items"]) == 1


async def test_an_unknown_metric_or_service_is_not_found(api):
    path = f"{CUSTOM}/namespaces/default"
    _, refused = await api.send("GET", f"{path}/services/web/requests_per_second")
    text = "the server could not find the metric requests_per_second for services web"
    assert (refused["code"], refused["message"]) == (404, text)
    assert (await api.send("GET", f"{path}/pods/*/queue"))[0] == 404


async def test_cannot_be_written(api):
    assert (await api.send("POST", f"{ROOT}/nodes", {}))[0] == 405
