"""
The kinds of the metrics APIs: what is measured when it is asked for, and never stored.

They are no part of `resources.builtin()`: an API server serves them where it can reach nodes.
"""

from __future__ import annotations

from tiphys.api.resources import Resource

RESOURCE_GROUP = "metrics.k8s.io"
CUSTOM_GROUP = "custom.metrics.k8s.io"
EXTERNAL_GROUP = "external.metrics.k8s.io"
_READ = ("get", "list")

NODE_METRICS = Resource(RESOURCE_GROUP, "v1beta1", "nodes", "NodeMetrics", False, _READ)
POD_METRICS = Resource(RESOURCE_GROUP, "v1beta1", "pods", "PodMetrics", True, _READ)

CUSTOM_VERSION = "v1beta2"
# What comes to a Service, counted by the packet rules of every node: metric → what is counted.
SERVICE_METRICS = {"requests_per_second": "requests", "connections_per_second": "connections"}
SERVED = (
    NODE_METRICS,
    POD_METRICS,
    *(
        Resource(CUSTOM_GROUP, CUSTOM_VERSION, f"services/{name}", "MetricValueList", True, ("get",))
        for name in SERVICE_METRICS
    ),
)


def seconds_text(seconds: float) -> str:
    """A duration as Go prints it, in milliseconds at the finest: `3.004s`, `300ms`, `1m2s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or hours else "") + text


def seconds_of(text: str) -> float:
    """The seconds of such a duration. ValueError for any other text."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    total, rest = 0.0, text
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("hms"))]
        if unit not in units:
            raise ValueError(f"{text!r} is no duration")
        rest = rest[len(unit) :]
        total += float(number) * units[unit]
    return total
