"""
Defaults of a pod spec, wherever it stands: in a Pod or in the template of a workload.

Runs on every request that carries one, so it is written to touch each container once and to allocate little.
"""

from __future__ import annotations

from typing import Any

from tiphys.api import quantity
from tiphys.api.defaults.volumes import set_volume
from tiphys.api.images import default_pull_policy

Object = dict[str, Any]


def set_pod_spec(spec: Object) -> None:
    """Fill a pod spec in place."""
    if "restartPolicy" not in spec:
        spec["restartPolicy"] = "Always"
    if "dnsPolicy" not in spec:
        spec["dnsPolicy"] = "ClusterFirst"
    if "terminationGracePeriodSeconds" not in spec:
        spec["terminationGracePeriodSeconds"] = 30
    if "securityContext" not in spec:
        spec["securityContext"] = {}
    if "schedulerName" not in spec:
        spec["schedulerName"] = "default-scheduler"
    _set_service_account(spec)
    for volume in spec.get("volumes") or ():
        set_volume(volume)
    for name in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(name) or ():
            set_container(container)


def set_template(template: Object | None) -> None:
    """Fill the pod template of a workload in place."""
    if template is not None and template.get("spec") is not None:
        set_pod_spec(template["spec"])


def _set_service_account(spec: Object) -> None:
    """`serviceAccount` is the old name of `serviceAccountName`; both are always shown, and the new one wins."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def set_container(container: Object) -> None:
    """Fill a container of any kind in place."""
    if "imagePullPolicy" not in container:
        container["imagePullPolicy"] = default_pull_policy(container.get("image", ""))
    if "terminationMessagePath" not in container:
        container["terminationMessagePath"] = "/dev/termination-log"
    if "terminationMessagePolicy" not in container:
        container["terminationMessagePolicy"] = "File"
    for port in container.get("ports") or ():
        if "protocol" not in port:
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        if "valueFrom" in variable:
            _set_source(variable["valueFrom"])
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _set_probe(container[name])
    if container.get("resources"):
        _round_up(container["resources"])
    if "lifecycle" in container:
        for handler in ("postStart", "preStop"):
            set_http_get((container["lifecycle"].get(handler) or {}).get("httpGet"))


def _round_up(resources: Object) -> None:
    """Nothing smaller than a thousandth is kept of a resource."""
    for name in ("limits", "requests"):
        for key, text in (resources.get(name) or {}).items():
            if text[-1] in ("n", "u"):
                resources[name][key] = quantity.canonical(f"{quantity.milli(text)}m")


def _set_source(source: Object) -> None:
    if "fieldRef" in source:
        source["fieldRef"].setdefault("apiVersion", "v1")
    if "fileKeyRef" in source:
        source["fileKeyRef"].setdefault("optional", False)


def _set_probe(probe: Object) -> None:
    # A zero stands for the default, as if it were not there.
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(name):
            probe[name] = value
    set_http_get(probe.get("httpGet"))
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def set_http_get(action: Object | None) -> None:
    """Fill the HTTP request of a probe or hook in place."""
    if action is not None:
        if not action.get("path"):
            action["path"] = "/"
        if not action.get("scheme"):
            action["scheme"] = "HTTP"
