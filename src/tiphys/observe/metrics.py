"""
Counters, gauges and histograms in the Prometheus text format, on the prometheus-client library.

A metric is made once, at import of the module that counts; its registry is the process's. Label values are bounded
sets (verbs, resources, codes), never names of objects.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry(auto_describe=False)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def counter(name: str, description: str, labels: Sequence[str] = ()) -> Counter:
    return Counter(name, description, labels, registry=REGISTRY)


def gauge(name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
    return Gauge(name, description, labels, registry=REGISTRY)


def histogram(
    name: str, description: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = SECONDS
) -> Histogram:
    return Histogram(name, description, labels, registry=REGISTRY, buckets=buckets)


def render() -> bytes:
    """The text exposition of every metric (`text/plain; version=0.0.4`)."""
    return generate_latest(REGISTRY)
