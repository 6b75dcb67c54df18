"""A world of stored objects and those who ask, for tests of who may speak and what is admitted."""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.api import resources
from tiphys.apiserver.authz.attributes import Access
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.call import Attributes, Call
from tiphys.apiserver.records import encode, key_of
from tiphys.store.door import Entry, Event
from tiphys.store.memory import MemoryStore
from tiphys.wire.messages import Identity, Request

RBAC = "rbac.authorization.k8s.io"
BOB = Identity("bob", ("system:authenticated",))


class World:
    """A real cache that is told of objects directly."""

    def __init__(self) -> None:
        self.cache = Cache(MemoryStore())
        self._revision = 0
        self._stored: dict[str, Entry] = {}

    async def fresh(self) -> None:
        """Whatever is put is there at once."""

    def put(self, group: str, name: str, obj: dict[str, Any]) -> dict[str, Any]:
        resource = next(r for r in resources.builtin() if (r.group, r.name) == (group, name) and r.preferred)
        metadata = {"uid": f"uid-{obj['metadata']['name']}".ljust(36, "0")[:36], **obj["metadata"]}
        full = {"kind": resource.kind, "apiVersion": resource.api_version, **obj, "metadata": metadata}
        key = key_of(resource, metadata.get("namespace", ""), metadata["name"])
        self._tell(key, encode(full))
        return full

    def drop(self, group: str, name: str, namespace: str, object_name: str) -> None:
        resource = next(r for r in resources.builtin() if (r.group, r.name) == (group, name) and r.preferred)
        self._tell(key_of(resource, namespace, object_name), None)

    def _tell(self, key: str, value: bytes | None) -> None:
        self._revision += 1
        self.cache.apply([Event(key, self._revision, value, self._stored.get(key))])
        if value is not None:
            self._stored[key] = Entry(key, value, self._revision)

    def account(self, name: str, **fields: Any) -> dict[str, Any]:
        return self.put("", "serviceaccounts", {"metadata": {"name": name, "namespace": "shop"}, **fields})

    def namespace(self, name: str, labels: dict[str, str] | None = None, phase: str = "Active") -> None:
        self.put("", "namespaces", {"metadata": {"name": name, "labels": labels or {}}, "status": {"phase": phase}})

    def pod(self, name: str, node: str = "", **spec: Any) -> dict[str, Any]:
        full = {"containers": [{"name": "c", "image": "i"}], **spec, **({"nodeName": node} if node else {})}
        return self.put("", "pods", {"metadata": {"name": name, "namespace": "shop"}, "spec": full})

    def role(self, name: str, *rules: dict[str, Any], namespace: str = "") -> None:
        kind = "roles" if namespace else "clusterroles"
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        self.put(RBAC, kind, {"metadata": metadata, "rules": list(rules)})

    def bind(self, role: str, user: str, namespace: str = "", *, kind: str = "ClusterRole") -> None:
        metadata = {"name": f"{role}-{user}", **({"namespace": namespace} if namespace else {})}
        subject = {"kind": "User", "apiGroup": RBAC, "name": user}
        reference = {"apiGroup": RBAC, "kind": kind, "name": role}
        plural = "rolebindings" if namespace else "clusterrolebindings"
        self.put(RBAC, plural, {"metadata": metadata, "subjects": [subject], "roleRef": reference})


def rule(verbs: str, resources_: str, *names: str, group: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources_.split()}
    return found | ({"resourceNames": list(names)} if names else {})


def access(user: Identity, verb: str, resource: str, name: str = "", namespace: str = "shop", **more: Any) -> Access:
    plain, _, subresource = resource.partition("/")
    return Access(user, verb, resource=plain, subresource=subresource, namespace=namespace, name=name, **more)


def call(
    method: str = "GET", path: str = "/", user: Identity = BOB, verb: str = "get", resource: Any = None, **fields: Any
) -> Call:
    headers = {name.replace("_", "-"): value for name, value in fields.pop("headers", {}).items()}
    return Call(Request(method, path, headers), verb, path, {}, resource, user=user, **fields)


def attributes(
    obj: Any = None,
    *,
    old: Any = None,
    resource: str = "pods",
    group: str = "",
    user: Identity = BOB,
    operation: str = "",
) -> Attributes:
    found = next(r for r in resources.builtin() if (r.group, r.name) == (group, resource))
    about = obj if obj is not None else old
    said = operation or ("DELETE" if obj is None else "CREATE" if old is None else "UPDATE")
    subresource = resource.partition("/")[2]
    namespace = about["metadata"].get("namespace", "shop") if found.namespaced else ""
    name = about["metadata"].get("name", "")
    copied = orjson.loads(orjson.dumps(obj)) if obj is not None else None
    return Attributes(said, found, subresource, namespace, name, copied, old, user, {}, False, [])
