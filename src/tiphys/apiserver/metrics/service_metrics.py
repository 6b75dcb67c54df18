"""
`custom.metrics.k8s.io`: what comes to Services, each node's count together. See docs/decisions for what a request is.

Its paths name a metric where others name a subresource, so this is a page: authorization has read them by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from urllib.parse import unquote, urlencode

from tiphys.api import errors, quantity
from tiphys.api.metrics import CUSTOM_GROUP, CUSTOM_VERSION, SERVICE_METRICS
from tiphys.api.objects import timestamp
from tiphys.apiserver import answers, negotiation, pages
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.call import Call, Object, Page
from tiphys.apiserver.metrics.figures import Figures
from tiphys.apiserver.metrics.resource_metrics import selection
from tiphys.wire.messages import Response

ROOT = f"/apis/{CUSTOM_GROUP}/{CUSTOM_VERSION}/namespaces/"
ARRIVALS_PATH = "/stats/services"
EVERY = "*"


def page(cache: Cache, figures: Figures) -> Page:
    """Answers `…/namespaces/NS/services/NAME/METRIC`; the name `*` stands for all that labels choose."""

    async def answer(call: Call) -> Response | None:
        if not call.path.startswith(ROOT):
            return None
        pages.only_get(call)
        form = negotiation.negotiate(call.request.headers.get("accept", "")) or negotiation.PLAIN
        namespace, *rest = unquote(call.path.removeprefix(ROOT)).strip("/").split("/")
        await cache.caught_up()
        items = await _values(cache, figures, call, namespace, rest)
        api_version = f"{CUSTOM_GROUP}/{CUSTOM_VERSION}"
        listed = {"kind": "MetricValueList", "apiVersion": api_version, "metadata": {}, "items": items}
        return answers.encoded(listed, form)

    return answer


async def _values(cache: Cache, figures: Figures, call: Call, namespace: str, rest: Sequence[str]) -> list[Object]:
    if len(rest) != 3 or rest[0] != "services" or rest[2] not in SERVICE_METRICS:
        resource, metric = (rest[0], rest[2]) if len(rest) == 3 else ("/".join(rest), "")
        raise _unknown(metric, resource, "")
    _, name, metric = rest
    services = [one for one in cache.list("", "services", namespace) if name in (EVERY, one["metadata"]["name"])]
    if name == EVERY:
        services = list(filter(selection(call.query), services))
    names = [f"{namespace}/{service['metadata']['name']}" for service in services]
    query = urlencode({"kind": SERVICE_METRICS[metric], "service": names}, doseq=True)
    told = await figures.of(cache.list("", "nodes"), f"{ARRIVALS_PATH}?{query}") if names else {}
    found = [_value(service, metric, told.values()) for service in services]
    values = [value for value in found if value is not None]
    if not values and name != EVERY:
        raise _unknown(metric, "services", name)
    return values


def _value(service: Object, metric: str, told: Iterable[Object]) -> Object | None:
    """All nodes together; None while no node has counted."""
    meta = service["metadata"]
    parts = [one for each in told if (one := each["services"].get(f"{meta['namespace']}/{meta['name']}")) is not None]
    if not parts:
        return None
    milli = round(sum(one["perSecond"] for one in parts) * 1000)
    about = {"kind": "Service", "namespace": meta["namespace"], "name": meta["name"], "apiVersion": "/v1"}
    return {
        "describedObject": about,
        "metric": {"name": metric, "selector": None},
        "timestamp": timestamp(min(one["at"] for one in parts)),
        "windowSeconds": round(max(one["window"] for one in parts)),
        "value": quantity.written(Fraction(milli, 1000)),
    }


def _unknown(metric: str, resource: str, name: str) -> errors.StatusError:
    about = f"{resource} {name}" if name else resource
    return errors.failure(404, "NotFound", f"the server could not find the metric {metric} for {about}", details={})
