"""Defaults of Pods and PodTemplates, and what a Pod has beyond a template: requests from limits, host ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.api import quantity
from tiphys.api.defaults.pod_spec import set_pod_spec, set_template

Object = dict[str, Any]

# The resources that a whole pod can have (besides huge pages).
_POD_LEVEL = ("cpu", "memory")


def set_pod(pod: Object) -> None:
    """Fill a Pod in place."""
    _set_addresses(pod.get("status") or {})
    spec = pod.get("spec")
    if spec is None:
        return
    set_pod_spec(spec)
    if "enableServiceLinks" not in spec:
        spec["enableServiceLinks"] = True
    containers = spec.get("containers") or ()
    initial = spec.get("initContainers") or ()
    for group in (containers, initial):
        for container in group:
            if container.get("resources"):
                _set_requests(container["resources"])
            if spec.get("hostNetwork"):
                _set_host_ports(container)
    if (spec.get("resources") or {}).get("limits"):
        _set_pod_requests(spec, spec["resources"])


def _set_addresses(status: Object) -> None:
    """The singular address is the first of the plural ones, and wins where they differ."""
    first = (status.get("podIPs") or [{}])[0].get("ip")
    if status.get("podIP") and first != status["podIP"]:
        status["podIPs"] = [{"ip": status["podIP"]}]
    elif first and not status.get("podIP"):
        status["podIP"] = first


def set_pod_template(obj: Object) -> None:
    """Fill a PodTemplate in place."""
    set_template(obj.get("template"))


def _set_requests(resources: Object) -> None:
    """What is limited but not requested is requested in full."""
    limits = resources.get("limits")
    if limits:
        requests = resources.setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)


def _set_host_ports(container: Object) -> None:
    for port in container.get("ports") or ():
        if not port.get("hostPort") and port.get("containerPort"):
            port["hostPort"] = port["containerPort"]


def _set_pod_requests(spec: Object, resources: Object) -> None:
    """A pod with limits of its own requests what its containers request, else its limits."""
    requests = dict(resources.get("requests") or {})
    for name in _aggregated_names(spec):
        if name in _POD_LEVEL and name not in requests:
            requests[name] = container_requests(spec, name)
    for name, value in resources["limits"].items():
        if name in _POD_LEVEL or name.startswith("hugepages-"):
            requests.setdefault(name, value)
    if requests:
        resources["requests"] = requests


def _aggregated_names(spec: Object) -> list[str]:
    groups = (spec.get("containers") or (), spec.get("initContainers") or ())
    return list({name: None for group in groups for one in group for name in _requests_of(one)})


def _requests_of(container: Object) -> Mapping[str, str]:
    return (container.get("resources") or {}).get("requests") or {}


def container_requests(spec: Object, name: str) -> str:
    """What all containers of a pod need of one resource at their worst moment, as a quantity."""
    total = sum((quantity.parse(_requests_of(one).get(name, "0")) for one in spec.get("containers") or ()), start=0)
    sidecars: Any = 0
    peak: Any = 0
    for one in spec.get("initContainers") or ():
        wanted = quantity.parse(_requests_of(one).get(name, "0"))
        if one.get("restartPolicy") == "Always":
            sidecars += wanted
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + wanted)
    return quantity.canonical(_printed(max(total + sidecars, peak)))


def _printed(value: Any) -> str:
    """An exact value as a quantity in milli-units, or whole where it is whole."""
    milli = -(-value * 1000 // 1)
    return str(int(milli) // 1000) if milli % 1000 == 0 else f"{int(milli)}m"


DEFAULTS: Mapping[tuple[str, str], Callable[[Object], None]] = {
    ("", "pods"): set_pod,
    ("", "podtemplates"): set_pod_template,
}
