"""Groups that other servers answer: who is asked, who they are told asks, what discovery and conditions say."""

import asyncio

import orjson
import pytest

from tiphys.apiserver import pages
from tiphys.apiserver.aggregation.aggregator import Aggregator
from tiphys.apiserver.aggregation.services import Unavailable, backend
from tiphys.apiserver.extensions import Shown
from tiphys.apiserver.metrics.extension import measured
from tiphys.apiserver.server import ApiServer, Extras
from tiphys.apiserver.subresources.connect import Unreachable
from tiphys.store.memory import MemoryStore
from tiphys.wire.messages import Identity, Request, Response

USER = Identity("ada", ("system:masters", "dev"), "u1", {"team": ("a", "b")})
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
RESOURCES = {"resources": [{"name": "queue", "kind": "ExternalMetricValueList", "namespaced": True, "verbs": ["get"]}]}


def api_service(group, version="v1beta1"):
    reference = {"namespace": "default", "name": "adapter", "port": 443}
    spec = {"group": group, "version": version, "service": reference, "insecureSkipTLSVerify": True}
    spec |= {"groupPriorityMinimum": 100, "versionPriority": 100}
    return {"metadata": {"name": f"{version}.{group}"}, "spec": spec}


SERVICE = {"metadata": {"name": "adapter"}, "spec": {"ports": [{"port": 443, "targetPort": 6443}]}}
SLICE = {
    "metadata": {"name": "adapter-x", "labels": {"kubernetes.io/service-name": "adapter"}},
    "addressType": "IPv4",
    "ports": [{"name": "", "port": 6443}],
    "endpoints": [{"addresses": ["10.1.0.9"], "conditions": {"ready": True}}],
}


class Api:
    """An API server, and the adapter behind it: `asked` are its requests, `where` the servers that were dialled."""

    def __init__(self):
        self.asked, self.where, self.broken = [], [], False
        self.server = ApiServer(MemoryStore(), extras=self.extras)

    def extras(self, cache):
        aggregator = Aggregator(cache, self.dial, {"client-ca-file": "x"})
        extension, metrics = measured(cache, Unreachable(), aggregator)
        return Extras(extension=extension, pages=[aggregator.page, *pages.builtin({}, Shown(extension)), metrics])

    def dial(self, server):
        self.where.append(server)

        async def adapter(request):
            self.asked.append(request)
            if self.broken:
                raise ConnectionRefusedError("refused")
            return Response(200, body=orjson.dumps(RESOURCES if request.target.count("/") == 3 else {"items": [1]}))

        return adapter

    async def send(self, method, path, body=None, user=USER):
        data = b"" if body is None else orjson.dumps(body)
        headers = {"content-type": "application/json", "authorization": "Bearer secret", "x-remote-user": "root"}
        answer = await self.server.handle(Request(method, path, headers, data, identity=user))
        try:
            return answer.status, orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return answer.status, {}

    async def condition(self, group, status):
        path = f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.{group}"
        for _ in range(200):
            conditions = (await self.send("GET", path))[1].get("status", {}).get("conditions", [])
            if conditions and conditions[0]["status"] == status:
                return conditions[0]
            await asyncio.sleep(0.01)
        raise AssertionError(f"{group} never became {status}: {conditions}")


@pytest.fixture
async def api():
    made = Api()
    await made.server.start()
    following = asyncio.ensure_future(made.server.run())
    await made.server.boot()
    yield made
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def announce(api, group="external.metrics.k8s.io"):
    await api.send("POST", "/api/v1/namespaces/default/services", SERVICE)
    await api.send("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", SLICE)
    await api.send("POST", "/apis/apiregistration.k8s.io/v1/apiservices", api_service(group))


async def test_requests_go_on_to_the_server_of_the_group(api):
    await announce(api)
    status, found = await api.send("GET", f"{EXTERNAL}/namespaces/default/queue?labelSelector=a%3Db")
    assert (status, found) == (200, {"items": [1]})
    assert api.asked[-1].target == f"{EXTERNAL}/namespaces/default/queue?labelSelector=a%3Db"
    server = api.where[-1]
    assert (server.host, server.port, server.name, server.authorities) == (
        "10.1.0.9",
        6443,
        "adapter.default.svc",
        None,
    )


async def test_the_server_is_told_who_asks_and_no_credential(api):
    await announce(api)
    await api.send("GET", f"{EXTERNAL}/namespaces/default/queue")
    sent = api.asked[-1]
    assert sent.headers["x-remote-user"] == "ada" and "authorization" not in sent.headers
    assert sent.more_headers == [
        ("x-remote-group", "system:masters"),
        ("x-remote-group", "dev"),
        ("x-remote-uid", "u1"),
        ("x-remote-extra-team", "a"),
        ("x-remote-extra-team", "b"),
    ]


async def test_what_it_serves_is_discovered(api):
    await announce(api)
    assert (await api.condition("external.metrics.k8s.io", "True"))["reason"] == "Passed"
    _, groups = await api.send("GET", "/apis")
    assert "external.metrics.k8s.io" in [group["name"] for group in groups["groups"]]


async def test_why_it_cannot_be_reached_is_told(api):
    await api.send("POST", "/apis/apiregistration.k8s.io/v1/apiservices", api_service("external.metrics.k8s.io"))
    assert (await api.condition("external.metrics.k8s.io", "False"))["reason"] == "ServiceNotFound"
    assert (await api.send("GET", f"{EXTERNAL}/namespaces/default/queue"))[0] == 503
    await api.send("POST", "/api/v1/namespaces/default/services", SERVICE)
    await api.send("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", SLICE)
    assert (await api.condition("external.metrics.k8s.io", "True"))["message"] == "all checks passed"


async def test_a_server_that_refuses_is_a_503(api):
    await announce(api)
    api.broken = True
    status, refused = await api.send("GET", f"{EXTERNAL}/namespaces/default/queue")
    assert (status, refused["message"]) == (503, "error trying to reach service: refused")


async def test_a_group_of_ours_goes_to_whom_the_user_names(api):
    path = "/apis/metrics.k8s.io/v1beta1/nodes"
    assert (await api.send("GET", path))[1]["items"] == []
    await api.send("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io")
    await announce(api, "metrics.k8s.io")
    assert (await api.send("GET", path))[1] == {"items": [1]}
    await api.send("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io")
    assert (await api.send("GET", path))[1]["items"] == []


async def test_servers_find_whom_to_believe(api):
    _, found = await api.send("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
    assert found["data"] == {"client-ca-file": "x"}


def test_without_a_ready_endpoint_there_is_no_server():
    hidden = {**SLICE, "endpoints": [{"addresses": ["10.1.0.9"], "conditions": {"ready": False}}]}
    with pytest.raises(Unavailable, match="have no addresses with port name"):
        backend(api_service("g"), SERVICE, [hidden], None)
    with pytest.raises(Unavailable, match="is not listening on port 443"):
        backend(api_service("g"), {"spec": {"ports": [{"port": 80}]}}, [SLICE], None)
