"""A control plane on virtual time: the real API server over a memory store, and the controllers asked for."""

import asyncio
import inspect
from itertools import count

import orjson
import pytest

from tiphys.aio.virtual import VirtualLoop
from tiphys.api import resources
from tiphys.api.errors import StatusError, failure
from tiphys.apiserver.server import ApiServer
from tiphys.client.client import STRATEGIC_PATCH, Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.client.metadata import Metadata
from tiphys.reconcile.tools import Tools
from tiphys.store.memory import MemoryStore
from tiphys.wire.messages import Identity, Response

ADMIN = Identity("admin", ("system:masters",))
PODS, EVENTS = resources.get("", "v1", "pods"), resources.get("", "v1", "events")
NODES, NAMESPACES = resources.get("", "v1", "nodes"), resources.get("", "v1", "namespaces")


def pytest_asyncio_loop_factories(config, item):
    return {"virtual": VirtualLoop}


class Plane:
    """`start` runs controllers; what they wait for comes in virtual time."""

    def __init__(self):
        self.now = asyncio.get_running_loop().now
        self.server = ApiServer(MemoryStore(), now=self.now)
        self.client = Client(self._handle, identity=ADMIN)
        self.no_new_pods = ""  # why pods are refused
        self.informers = Informers(self.client)
        self.metadata = Metadata(self.client, self.informers, [PODS, NAMESPACES, NODES])
        self.recorder = Recorder(self.client, "tester", now=self.now)
        self.tasks, self.addresses = [], count(1)

    async def _handle(self, request):
        if self.no_new_pods and (request.method, request.target) == ("POST", "/api/v1/namespaces/shop/pods"):
            return Response(403, body=orjson.dumps(failure(403, "Forbidden", self.no_new_pods).status))
        return await self.server.handle(request)

    def run(self, *parts):
        self.tasks += [asyncio.ensure_future(part) for part in parts]

    async def begin(self):
        await self.server.start()
        self.run(self.server.run())
        await self.server.boot()
        self.run(self.informers.run(), self.metadata.run(), self.recorder.run())
        await self.create("v1", "Namespace", "shop")

    async def start(self, *controllers, **more):
        """Controllers by their classes; each gets what its constructor names."""
        given = {"tools": Tools(self.client, self.informers, self.recorder, self.now), "metadata": self.metadata} | more
        for controller in controllers:
            wanted = inspect.signature(controller).parameters
            self.run(controller(**{name: given[name] for name in wanted}).run())
        await self.metadata.synced()
        await self.informers.synced()

    # objects

    async def create(self, version, kind, name, *, namespace="shop", owners=(), finalizers=(), labels=None, **fields):
        resource = resources.of_kind(version, kind)
        meta = {"name": name, "labels": labels or {}, "ownerReferences": list(owners), "finalizers": list(finalizers)}
        meta |= {"namespace": namespace} if resource.namespaced else {}
        return await self.client.create(resource, {"apiVersion": version, "kind": kind, "metadata": meta, **fields})

    async def get(self, kind, name, *, version="v1", namespace="shop"):
        """None if it is not there."""
        resource = resources.of_kind(version, kind)
        try:
            return await self.client.get(resource, name, namespace if resource.namespaced else "")
        except StatusError as error:
            assert error.code == 404, error
            return None

    async def list(self, kind, version="v1", namespace="shop"):
        return (await self.client.list(resources.of_kind(version, kind), namespace)).items

    async def names(self, kind, version="v1", namespace="shop"):
        return sorted(obj["metadata"]["name"] for obj in await self.list(kind, version, namespace))

    async def patch(self, obj, fields, subresource=""):
        resource = resources.of_kind(obj["apiVersion"], obj["kind"])
        key = obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        return await self.client.patch(resource, key, fields, subresource=subresource, media_type=STRATEGIC_PATCH)

    async def delete(self, obj, propagation="", *, grace_seconds=None):
        resource = resources.of_kind(obj["apiVersion"], obj["kind"])
        key = obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        await self.client.delete(resource, key, propagation=propagation, grace_seconds=grace_seconds)

    async def until(self, ask, seconds=60):
        """The first answer of `await ask()` that is true."""
        end = asyncio.get_running_loop().time() + seconds
        while not (answer := await ask()):
            assert asyncio.get_running_loop().time() < end, f"it never came true; last: {answer!r}"
            await asyncio.sleep(0.05)
        return answer

    async def settled(self):
        """Everything that events have set going is done."""
        await asyncio.sleep(2)

    async def reasons(self):
        await self.recorder.drained()
        return [event["reason"] for event in await self.list("Event", namespace="")]

    # nodes

    async def node(self, name="n1", *, ready="True", address="192.0.2.1"):
        """A node that has told how it is."""
        node = await self.create("v1", "Node", name)
        condition = {"type": "Ready", "status": ready, "reason": "KubeletReady"}
        status = {"conditions": [condition], "addresses": [{"type": "InternalIP", "address": address}]}
        return await self.patch(node, {"status": status}, "status")

    def kubelet(self):
        """Runs the pods of all nodes: they are Ready at once and end when they are told to."""
        changed = asyncio.Queue()
        self.informers.of(PODS).on_event(lambda old, new: changed.put_nowait(new))
        self.run(self._kubelet(changed))

    async def _kubelet(self, changed):
        while True:
            pod = await changed.get()
            if pod is None or not pod["spec"].get("nodeName"):
                continue
            try:
                if "deletionTimestamp" in pod["metadata"]:
                    await self.delete(pod, grace_seconds=0)
                elif pod["status"].get("phase") == "Pending":
                    await self.patch(pod, {"status": running(f"10.1.0.{next(self.addresses)}")}, "status")
            except StatusError:
                continue  # it has changed meanwhile, which comes as an event of its own


def running(address="10.1.0.9"):
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }


@pytest.fixture
async def plane():
    made = Plane()
    await made.begin()
    yield made
    for task in made.tasks:
        task.cancel()
    ended = await asyncio.gather(*made.tasks, return_exceptions=True)
    assert [end for end in ended if not isinstance(end, asyncio.CancelledError)] == []
