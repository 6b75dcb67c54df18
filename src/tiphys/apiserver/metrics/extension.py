"""The metrics APIs put together, for an API server that can reach nodes."""

from __future__ import annotations

from tiphys.api.metrics import SERVED
from tiphys.apiserver.aggregation.aggregator import Aggregator
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.call import Page
from tiphys.apiserver.extensions import Extension
from tiphys.apiserver.metrics import service_metrics
from tiphys.apiserver.metrics.figures import Figures
from tiphys.apiserver.metrics.resource_metrics import ResourceMetrics
from tiphys.apiserver.subresources.connect import Reach


def measured(cache: Cache, reach: Reach, aggregator: Aggregator | None = None) -> tuple[Extension, Page]:
    """`metrics.k8s.io`, and the page of `custom.metrics.k8s.io`."""
    figures = Figures(reach)
    extension = Extension(SERVED, ResourceMetrics(figures).verbs(), aggregator)
    return extension, service_metrics.page(cache, figures)
