"""Autoscalers for tests, and the facts around them: `facts(autoscaler(cpu(50)), replicas=2, used=[300, 300])`."""

from builders import EPOCH, pod
from tiphys.api.objects import parse_timestamp
from tiphys.controllers.horizontalpodautoscaler.evaluate import Reading
from tiphys.controllers.horizontalpodautoscaler.plan import Facts
from tiphys.controllers.horizontalpodautoscaler.replicas import Metric

# Long enough after the pods' start that all of them are judged.
NOW = parse_timestamp(EPOCH) + 1000.0


def cpu(percent):
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def of_service(wanted, kind="Value"):
    key = "value" if kind == "Value" else "averageValue"
    about = {"apiVersion": "v1", "kind": "Service", "name": "web"}
    target = {"type": kind, key: wanted}
    return {"type": "Object", "object": {"metric": {"name": "hits"}, "describedObject": about, "target": target}}


def autoscaler(*metrics, least=1, most=10, status=None, **spec):
    meta = {"name": "web", "namespace": "shop", "uid": "uid-hpa", "creationTimestamp": EPOCH}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    whole = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most, "metrics": list(metrics), **spec}
    kind = "HorizontalPodAutoscaler"
    return {"apiVersion": "autoscaling/v2", "kind": kind, "metadata": meta, "spec": whole, "status": status or {}}


def scale(replicas, selector="app=web"):
    return {
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "selector": selector},
    }


def asking(name, milli_cores=100, **more):
    """A pod that has run for long and asks for processor time."""
    resources = {"requests": {"cpu": f"{milli_cores}m"}} if milli_cores else {}
    made = pod(name, containers=[{"name": "c", "image": "i", "resources": resources}], **more)
    made["status"]["startTime"] = EPOCH
    return made


def used(*milli, at=NOW):
    """What pods p0, p1, … use; None: of that one nothing is known."""
    return {f"p{n}": Metric(value, at, 3.0) for n, value in enumerate(milli) if value is not None}


def facts(hpa, *, replicas, milli=(), pods=None, readings=None, **more):
    """`milli` is what each of the pods uses."""
    pods = [asking(f"p{n}") for n in range(replicas)] if pods is None else pods
    readings = [Reading(used(*milli))] if readings is None else readings
    return Facts(hpa, scale(replicas), "", pods, readings, **more)
