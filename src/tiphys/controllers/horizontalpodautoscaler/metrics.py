"""
Ask the metrics APIs for what an autoscaler's metrics need; failures become a Reading with Kubernetes' text.

Pods are asked for once, whatever number of metrics looks at them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from tiphys.api import quantity, resources
from tiphys.api.errors import StatusError
from tiphys.api.metrics import CUSTOM_GROUP, CUSTOM_VERSION, EXTERNAL_GROUP, POD_METRICS, seconds_of
from tiphys.api.objects import parse_timestamp
from tiphys.client.client import Client
from tiphys.controllers.horizontalpodautoscaler.evaluate import Reading, go_selector
from tiphys.controllers.horizontalpodautoscaler.replicas import Metric

Object = Mapping[str, Any]

CUSTOM = f"/apis/{CUSTOM_GROUP}/{CUSTOM_VERSION}"
EXTERNAL = f"/apis/{EXTERNAL_GROUP}/v1beta1"
# What a metrics API leaves out of its answer counts as measured over this.
WINDOW_SECONDS_DEFAULT = 60.0
_OPERATORS = {"In": "in", "NotIn": "notin"}


class MetricsReader:
    """`read` gives one Reading for each metric of an autoscaler, in order."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, autoscaler: Object, selector: str) -> list[Reading]:
        namespace = autoscaler["metadata"]["namespace"]
        specs: Sequence[Object] = autoscaler["spec"].get("metrics") or []
        of_pods: Reading | list[Object] = []
        if any(spec["type"] in ("Resource", "ContainerResource") for spec in specs):
            of_pods = await self._pod_metrics(namespace, selector)
        return [await self._one(spec, (namespace, selector), of_pods) for spec in specs]

    async def _one(self, spec: Object, where: tuple[str, str], of_pods: Reading | list[Object]) -> Reading:
        namespace, selector = where
        match spec["type"]:
            case "Resource":
                return of_pods if isinstance(of_pods, Reading) else resource_values(of_pods, spec["resource"]["name"])
            case "ContainerResource":
                source = spec["containerResource"]
                if isinstance(of_pods, Reading):
                    return of_pods
                return resource_values(of_pods, source["name"], source["container"])
            case "Pods":
                return await self._custom_of_pods(namespace, selector, spec["pods"]["metric"])
            case "Object":
                return await self._custom_of_object(namespace, spec["object"])
            case "External":
                return await self._external(namespace, spec["external"]["metric"])
        return Reading()

    async def _pod_metrics(self, namespace: str, selector: str) -> Reading | list[Object]:
        try:
            items = (await self._client.list(POD_METRICS, namespace, labelSelector=selector)).items
        except StatusError as error:
            return Reading(error=f"unable to fetch metrics from resource metrics API: {error}")
        return list(items) or Reading(error="no metrics returned from resource metrics API")

    async def _custom_of_pods(self, namespace: str, selector: str, metric: Object) -> Reading:
        query = {"labelSelector": selector, "metricLabelSelector": selector_text(metric.get("selector"))}
        path = f"{CUSTOM}/namespaces/{namespace}/pods/*/{_escaped(metric['name'])}"
        answer = await self._ask(path, query, "custom")
        if isinstance(answer, Reading):
            return answer
        return Reading({item["describedObject"]["name"]: _metric(item) for item in answer})

    async def _custom_of_object(self, namespace: str, source: Object) -> Reading:
        metric, about = source["metric"], source["describedObject"]
        path = _path_of(namespace, about)
        query = {"metricLabelSelector": selector_text(metric.get("selector"))}
        if path is None:
            known = f'no matches for kind "{about["kind"]}" in version "{about.get("apiVersion", "v1")}"'
            answer: Reading | list[Object] = Reading(error=known)
        else:
            answer = await self._ask(f"{path}/{_escaped(metric['name'])}", query, "custom")
        if isinstance(answer, Reading):
            # The order of the words is Kubernetes'.
            text = (
                f"unable to get metric {metric['name']}: {about['kind']} on {namespace} {about['name']}/{answer.error}"
            )
            return Reading(error=text)
        return Reading(value=quantity.milli(str(answer[0]["value"])))

    async def _external(self, namespace: str, metric: Object) -> Reading:
        path = f"{EXTERNAL}/namespaces/{namespace}/{_escaped(metric['name'])}"
        answer = await self._ask(path, {"labelSelector": selector_text(metric.get("selector"))}, "external")
        if isinstance(answer, Reading):
            shown = go_selector(metric.get("selector"))
            return Reading(error=f"unable to get external metric {namespace}/{metric['name']}/{shown}: {answer.error}")
        return Reading(value=sum(quantity.milli(str(item["value"])) for item in answer))

    async def _ask(self, path: str, query: Mapping[str, str], which: str) -> Reading | list[Object]:
        """The items of a metrics API's answer."""
        wanted = {name: value for name, value in query.items() if value}
        try:
            answer = await self._client.request("GET", f"{path}?{urlencode(wanted)}" if wanted else path)
        except StatusError as error:
            return Reading(error=f"unable to fetch metrics from {which} metrics API: {error}")
        return list(answer.get("items") or ()) or Reading(error=f"no metrics returned from {which} metrics API")


def resource_values(items: Sequence[Object], resource: str, container: str = "") -> Reading:
    """What each pod (or that container of it) uses; pods of which that is not known are missing."""
    values = {}
    for item in items:
        usages = {one["name"]: one["usage"].get(resource) for one in item["containers"]}
        if container:
            meta = item["metadata"]
            if container not in usages:
                text = f"container {container} not present in metrics for pod {meta['namespace']}/{meta['name']}"
                return Reading(error=f"failed to get container metrics: {text}")
            usages = {container: usages[container]}
        if None not in usages.values():
            total = sum(quantity.milli(usage) for usage in usages.values() if usage is not None)
            window = seconds_of(item["window"]) if item.get("window") else WINDOW_SECONDS_DEFAULT
            values[item["metadata"]["name"]] = Metric(total, parse_timestamp(item["timestamp"]), window)
    return Reading(values)


def selector_text(selector: Object | None) -> str:
    """A label selector for a query: `app=a,env in (dev,prod)`; "" for none."""
    if not selector:
        return ""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(one["operator"])
        if operator is not None:
            parts.append(f"{one['key']} {operator} ({','.join(sorted(one.get('values') or ()))})")
        else:
            parts.append(one["key"] if one["operator"] == "Exists" else f"!{one['key']}")
    return ",".join(parts)


def _path_of(namespace: str, about: Object) -> str | None:
    resource = resources.of_kind(about.get("apiVersion") or "v1", about["kind"])
    if resource is None:
        return None
    full = f"{resource.name}.{resource.group}" if resource.group else resource.name
    if resource.name == "namespaces" and not resource.group:
        return f"{CUSTOM}/namespaces/{about['name']}/metrics"
    scope = f"/namespaces/{namespace}" if resource.namespaced else ""
    return f"{CUSTOM}{scope}/{full}/{_escaped(about['name'])}"


def _metric(item: Object) -> Metric:
    seconds = item.get("windowSeconds")
    window = WINDOW_SECONDS_DEFAULT if seconds is None else float(seconds)
    return Metric(quantity.milli(str(item["value"])), parse_timestamp(item["timestamp"]), window)


def _escaped(name: str) -> str:
    return quote(name, safe="")
