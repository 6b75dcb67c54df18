"""Builders for Services and EndpointSlices, and informers that need no server."""

import asyncio

from tiphys.api.objects import key_of


def service(name="web", *ports, status=None, labels=None, **spec):
    """`service("web", 80, type="NodePort")`; a port is a number or a dict."""
    listed = [{"port": port, "protocol": "TCP"} if isinstance(port, int) else port for port in ports or (80,)]
    spec = {"clusterIP": "10.92.0.10", "type": "ClusterIP", "ports": listed, **spec}
    meta = {"namespace": "shop", "name": name, "labels": labels or {}}
    return {"metadata": meta, "spec": spec, "status": status or {}}


def endpoint(address, *, node="n1", **conditions):
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def endpoints(name, *listed, port=8080, protocol="TCP", port_name="", suffix="1"):
    """An EndpointSlice of the Service `name`."""
    return {
        "metadata": {
            "namespace": "shop",
            "name": f"{name}-{suffix}",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": port_name, "port": port, "protocol": protocol}],
        "endpoints": [endpoint(item) if isinstance(item, str) else item for item in listed],
    }


class StillInformer:
    """An informer that tests feed by hand."""

    def __init__(self):
        self.objects, self.handlers, self.indexes = {}, [], {}

    def add_index(self, name, index):
        self.indexes[name] = index

    async def synced(self):
        await asyncio.sleep(0)

    def on_event(self, handler):
        self.handlers.append(handler)
        for obj in list(self.objects.values()):
            handler(None, obj)

    def get(self, namespace, name):
        return self.objects.get((namespace, name))

    def list(self, namespace=""):
        return [obj for key, obj in self.objects.items() if namespace in ("", key[0])]

    def by(self, index, value):
        return [obj for obj in self.objects.values() if value in self.indexes[index](obj)]

    def put(self, obj):
        old = self.objects.get(key_of(obj))
        self.objects[key_of(obj)] = obj
        for handler in self.handlers:
            handler(old, obj)

    def remove(self, obj):
        del self.objects[key_of(obj)]
        for handler in self.handlers:
            handler(obj, None)


def policy(name="guard", *, pods=None, namespace="shop", **spec):
    """`policy(ingress=[...])` selects every pod of the namespace; `pods` are the labels of those it selects."""
    types = [kind for kind, said in (("Ingress", "ingress"), ("Egress", "egress")) if said in spec] or ["Ingress"]
    selector = {"matchLabels": pods} if pods else {}
    spec = {"podSelector": selector, "policyTypes": types, **spec}
    meta = {"namespace": namespace, "name": name, "uid": f"uid-{name}"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def labelled(**labels):
    return {"podSelector": {"matchLabels": labels}}


def namespace(name, **labels):
    meta = {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
