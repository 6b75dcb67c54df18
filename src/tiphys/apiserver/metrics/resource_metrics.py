"""
`metrics.k8s.io`: processor time and memory of nodes and pods, as metrics-server serves them.

A pod is shown when it runs and each of its containers has been measured; of the nodes only those are asked that run a
pod which is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.api import errors, selectors
from tiphys.api.metrics import NODE_METRICS, POD_METRICS, seconds_text
from tiphys.api.objects import timestamp
from tiphys.api.resources import Resource
from tiphys.apiserver import answers
from tiphys.apiserver.call import Call, Object
from tiphys.apiserver.dispatch import Verb
from tiphys.apiserver.metrics.figures import Figures
from tiphys.apiserver.negotiation import Format
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.registry.options import Query, first
from tiphys.apiserver.routing import Route
from tiphys.wire.messages import Response

USAGE_PATH = "/stats/usage"


class ResourceMetrics:
    """The verbs of both resources."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def verbs(self) -> Mapping[tuple[str, str, str], Verb]:
        return {
            (NODE_METRICS.group, NODE_METRICS.name, "list"): self.list_nodes,
            (NODE_METRICS.group, NODE_METRICS.name, "get"): self.get_node,
            (POD_METRICS.group, POD_METRICS.name, "list"): self.list_pods,
            (POD_METRICS.group, POD_METRICS.name, "get"): self.get_pod,
        }

    async def list_nodes(self, parts: Parts, call: Call, route: Route, form: Format) -> Response:
        """GET nodes."""
        await parts.cache.caught_up()
        found = await self._nodes(filter(selection(route.query), parts.cache.list("", "nodes")))
        return answers.of_objects(call, found, {}, form)

    async def get_node(self, parts: Parts, call: Call, route: Route, form: Format) -> Response:
        """GET nodes/NAME."""
        await parts.cache.caught_up()
        node = parts.cache.get("", "nodes", "", route.name)
        found = await self._nodes([node] if node is not None else [])
        if not found:
            raise _unknown(NODE_METRICS, "nodes", route.name, is_there=node is not None)
        return answers.of_object(call, found[0], form)

    async def list_pods(self, parts: Parts, call: Call, route: Route, form: Format) -> Response:
        """GET pods, of one namespace or of all."""
        await parts.cache.caught_up()
        wanted = filter(selection(route.query), parts.cache.list("", "pods", call.namespace))
        return answers.of_objects(call, await self._pods(parts, wanted), {}, form)

    async def get_pod(self, parts: Parts, call: Call, route: Route, form: Format) -> Response:
        """GET pods/NAME."""
        await parts.cache.caught_up()
        pod = parts.cache.get("", "pods", call.namespace, route.name)
        found = await self._pods(parts, [pod] if pod is not None else [])
        if not found:
            raise _unknown(POD_METRICS, "pods", f"{call.namespace}/{route.name}", is_there=pod is not None)
        return answers.of_object(call, found[0], form)

    async def _nodes(self, nodes: Iterable[Object]) -> list[Object]:
        wanted = list(nodes)
        told = await self._figures.of(wanted, USAGE_PATH)
        return [
            _metrics(NODE_METRICS, node, figures) | {"usage": _usage(figures)}
            for node in wanted
            if (figures := (told.get(node["metadata"]["name"]) or {}).get("node"))
        ]

    async def _pods(self, parts: Parts, pods: Iterable[Object]) -> list[Object]:
        wanted = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
        names = dict.fromkeys(pod["spec"].get("nodeName") or "" for pod in wanted)
        nodes = [node for name in names if (node := parts.cache.get("", "nodes", "", name)) is not None]
        told = await self._figures.of(nodes, USAGE_PATH)
        measured = {pod["uid"]: pod for answer in told.values() for pod in answer["pods"]}
        found = [pod_metrics(pod, measured.get(pod["metadata"]["uid"])) for pod in wanted]
        return [metrics for metrics in found if metrics is not None]


def selection(query: Query) -> Callable[[Object], bool]:
    """What `labelSelector` and `fieldSelector` choose; objects have a name and a namespace to be chosen by."""
    try:
        labels = selectors.parse_labels(first(query, "labelSelector"))
        requirements = selectors.parse_fields(first(query, "fieldSelector"))
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    for field, _, _ in requirements:
        if field not in ("metadata.name", "metadata.namespace"):
            raise errors.bad_request(f'field label not supported: "{field}"')

    def chosen(obj: Object) -> bool:
        meta = obj["metadata"]
        return labels.matches(meta.get("labels")) and all(
            (meta.get(field.partition(".")[2], "") == value) == equal for field, equal, value in requirements
        )

    return chosen


def pod_metrics(pod: Object, measured: Object | None) -> Object | None:
    """The PodMetrics of a pod; None until each of its running containers has been measured."""
    if measured is None or not measured["containers"] or len(measured["containers"]) < measured["running"]:
        return None
    figures: dict[str, Any] = measured["containers"]
    # The oldest of them says how old the whole is.
    oldest = min(figures.values(), key=lambda one: one["at"])
    containers = [{"name": name, "usage": _usage(one)} for name, one in figures.items()]
    return _metrics(POD_METRICS, pod, oldest) | {"containers": containers}


def _metrics(resource: Resource, obj: Object, figures: Object) -> Object:
    meta = obj["metadata"]
    shown = {name: meta[name] for name in ("name", "namespace", "labels") if name in meta}
    moment = timestamp(figures["at"])
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": {**shown, "creationTimestamp": moment},
        "timestamp": moment,
        "window": seconds_text(figures["window"]),
    }


def _usage(figures: Object) -> Object:
    return {"cpu": f"{figures['nanoCores']}n", "memory": f"{figures['memory'] // 1024}Ki"}


def _unknown(resource: Resource, plural: str, name: str, *, is_there: bool) -> errors.StatusError:
    """What is not there, and what is there but has not been measured, in metrics-server's words."""
    return (
        errors.not_found(f"{plural[:-1]}metrics", resource.group, name)
        if is_there
        else errors.not_found(plural, "", name)
    )
