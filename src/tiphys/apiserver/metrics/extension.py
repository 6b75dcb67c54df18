"""The metrics APIs put together, for an API server that can reach nodes."""

from __future__ import annotations

from tiphys.api.metrics import SERVED
from tiphys.apiserver.extensions import Extension
from tiphys.apiserver.metrics.resource_metrics import ResourceMetrics
from tiphys.apiserver.subresources.connect import Reach


def measured(reach: Reach) -> Extension:
    """`metrics.k8s.io` and `custom.metrics.k8s.io`."""
    return Extension(SERVED, ResourceMetrics(reach).verbs())
