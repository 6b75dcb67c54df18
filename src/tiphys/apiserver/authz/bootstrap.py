"""
The roles and bindings that every cluster has, and how they are kept.

`data/rbac.json.xz` holds those of Kubernetes v1.36, `own_roles.py` ours. At each start what is missing is made, and
rules or subjects that somebody took out are put back, unless the object says `autoupdate: "false"`. What somebody added
stays.
"""

from __future__ import annotations

import asyncio
import functools
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources as package_files

import orjson

from tiphys.api import resources
from tiphys.api.resources import Resource
from tiphys.apiserver.authz import own_roles, rules
from tiphys.apiserver.authz.rbac import GROUP
from tiphys.apiserver.authz.rules import Rule
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.call import Object
from tiphys.wire.messages import Handler, Identity, Request

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
COLLECTIONS = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
SELF = Identity("system:apiserver", ("system:masters", "system:authenticated"))
_AGENT = "tiphys-apiserver"
_OWN: Mapping[str, Callable[[], Iterable[Object]]] = {
    "clusterroles": own_roles.cluster_roles,
    "clusterrolebindings": own_roles.cluster_role_bindings,
}


@functools.cache
def _data() -> dict[str, list[Object]]:
    packed = package_files.files("tiphys.apiserver").joinpath("data/rbac.json.xz").read_bytes()
    loaded: dict[str, list[Object]] = orjson.loads(lzma.decompress(packed))
    return loaded


def node_rules() -> Sequence[Rule]:
    """The rules of `system:node`: what a node agent may do beside what its pods need."""
    found: Sequence[Rule] = next(role["rules"] for role in _data()["clusterroles"] if role["metadata"]["name"] == NODE)
    return found


NODE = "system:node"


def objects() -> Iterator[tuple[Resource, Object]]:
    """Every bootstrap object, roles before the bindings that name them."""
    for collection in COLLECTIONS:
        resource = resources.get(GROUP, "v1", collection)
        for obj in (*_data()[collection], *_OWN.get(collection, tuple)()):
            yield resource, obj


async def reconcile(handler: Handler, cache: Cache) -> None:
    """
    Make what is missing, put back what was taken out.

    All at once: the store commits in groups, and a hundred writes one after the other would cost a hundred syncs.
    """
    await cache.caught_up()
    wanted = [(resource, obj, _present(cache, resource, obj)) for resource, obj in objects()]
    async with asyncio.TaskGroup() as tasks:
        for resource, obj, present in wanted:
            if present is None:
                path = resource.path(obj["metadata"].get("namespace", ""))
                tasks.create_task(_send(handler, "POST", path, obj))
                continue
            repaired = repair(present, obj)
            if repaired is not None:
                metadata = present["metadata"]
                path = resource.path(metadata.get("namespace", ""), metadata["name"])
                tasks.create_task(_send(handler, "PUT", path, repaired))


def repair(present: Object, wanted: Object) -> Object | None:
    """`present` with everything that `wanted` has, or None if it has it. Pure."""
    metadata = present["metadata"]
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    if annotations.get(AUTOUPDATE) == "false":
        return None
    changes: Object = {}
    if "aggregationRule" not in wanted and "roleRef" not in wanted:
        lacking = rules.missing(present.get("rules") or (), wanted.get("rules") or ())
        if lacking:
            changes["rules"] = [*(present.get("rules") or ()), *lacking]
    there = present.get("subjects") or []
    lost = [subject for subject in wanted.get("subjects") or () if subject not in there]
    if lost:
        changes["subjects"] = [*there, *lost]
    meant = wanted["metadata"]
    if not (labels.items() >= meant["labels"].items() and annotations.items() >= meant["annotations"].items()):
        changes["metadata"] = metadata | {
            "labels": labels | meant["labels"],
            "annotations": annotations | meant["annotations"],
        }
    return present | changes if changes else None


def _present(cache: Cache, resource: Resource, obj: Object) -> Object | None:
    metadata = obj["metadata"]
    return cache.get(resource.group, resource.name, metadata.get("namespace", ""), metadata["name"])


async def _send(handler: Handler, method: str, path: str, obj: Object) -> None:
    headers = {"content-type": "application/json", "user-agent": _AGENT}
    response = await handler(Request(method, path, headers, orjson.dumps(obj), identity=SELF))
    if response.status >= 300 and response.status != 409:
        raise RuntimeError(f"{method} {path} at start answered {response.status}: {response.body!r}")
