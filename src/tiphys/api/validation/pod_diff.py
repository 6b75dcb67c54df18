"""
Two pod specs as Kubernetes compares them in an error: the internal struct printed as JSON, and the lines that differ.

The internal struct has Go's own field names and leaves nothing out. Its fields follow the protobuf numbers of the
schema but for the messages that are listed here, and what a pod shares with its host is in the security context.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tiphys.api import schema
from tiphys.api.schema.types import Field, Kind, Message, Shape
from tiphys.api.validation.values import shown_selector

Object = Mapping[str, Any]

_CONTEXT_LINES = 3
_SHARED = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
_CONTAINER = (
    "name", "image", "command", "args", "workingDir", "ports", "envFrom", "env", "resources", "resizePolicy",
    "restartPolicy", "restartPolicyRules", "volumeMounts", "volumeDevices", "livenessProbe", "readinessProbe",
    "startupProbe", "lifecycle", "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy",
    "securityContext", "stdin", "stdinOnce", "tty",
)  # fmt: skip
_ORDERS: Mapping[str, tuple[str, ...]] = {
    "core.v1.PodSpec": (
        "volumes", "initContainers", "containers", "ephemeralContainers", "restartPolicy",
        "terminationGracePeriodSeconds", "activeDeadlineSeconds", "dnsPolicy", "nodeSelector", "serviceAccountName",
        "automountServiceAccountToken", "nodeName", "securityContext", "imagePullSecrets", "hostname", "subdomain",
        "setHostnameAsFQDN", "affinity", "schedulerName", "tolerations", "hostAliases", "priorityClassName", "priority",
        "preemptionPolicy", "dnsConfig", "readinessGates", "runtimeClassName", "overhead", "enableServiceLinks",
        "topologySpreadConstraints", "os", "schedulingGates", "resourceClaims", "resources", "hostnameOverride",
    ),
    "core.v1.Container": _CONTAINER,
    "core.v1.EphemeralContainer": (*_CONTAINER, "targetContainerName"),
    "core.v1.Probe": (
        "exec", "httpGet", "tcpSocket", "grpc", "initialDelaySeconds", "timeoutSeconds", "periodSeconds",
        "successThreshold", "failureThreshold", "terminationGracePeriodSeconds",
    ),
    "core.v1.ResourceRequirements": ("limits", "requests", "claims"),
    "core.v1.ContainerPort": ("name", "hostPort", "containerPort", "protocol", "hostIP"),
}  # fmt: skip
_NAMES = {
    "dnsPolicy": "DNSPolicy", "dnsConfig": "DNSConfig", "os": "OS", "tty": "TTY", "httpGet": "HTTPGet", "grpc": "GRPC",
    "tcpSocket": "TCPSocket", "apiVersion": "APIVersion", "ip": "IP", "httpHeaders": "HTTPHeaders",
    "seLinuxOptions": "SELinuxOptions", "nfs": "NFS", "rbd": "RBD", "fc": "FC", "csi": "CSI", "iscsi": "ISCSI",
    "cephfs": "CephFS", "gcePersistentDisk": "GCEPersistentDisk", "awsElasticBlockStore": "AWSElasticBlockStore",
    "storageos": "StorageOS", "uid": "UID",
}  # fmt: skip
_ZEROES: Mapping[Kind, Any] = {
    Kind.STRING: "", Kind.INT32: 0, Kind.INT64: 0, Kind.BOOL: False, Kind.DOUBLE: 0, Kind.QUANTITY: "0",
    Kind.INT_OR_STRING: 0,
}  # fmt: skip


def spec_difference(old: Object, new: Object) -> str:
    """The lines by which two pod specs differ, with a few around them."""
    return difference(_shown_spec(old), _shown_spec(new))


def container_difference(old: Object, new: Object) -> str:
    """The same for two ephemeral containers."""
    message = schema.message("core.v1.EphemeralContainer")
    return difference(_shown(old, message), _shown(new, message))


def difference(old: Any, new: Any) -> str:
    """Hunks of a unified diff without its two lines of file names."""
    before, after = (json.dumps(each, indent=1, ensure_ascii=False).splitlines() for each in (old, new))
    hunks = difflib.unified_diff(before, after, n=_CONTEXT_LINES, lineterm="")
    return "".join(f"{line}\n" for line in _without_names(hunks))


def _without_names(lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number > 1:
            yield line


def _shown_spec(spec: Object) -> dict[str, Any]:
    message = schema.message("core.v1.PodSpec")
    shown = _shown(spec, message)
    context = {_go_name(name): _value(spec.get(name), message.fields[name]) for name in _SHARED}
    shown["SecurityContext"] = context | (shown["SecurityContext"] or {})
    return shown


def _shown(value: Object, message: Message) -> dict[str, Any]:
    names = _ORDERS.get(message.name) or sorted(message.fields, key=lambda name: message.fields[name].number)
    return {_go_name(name): _value(value.get(name), message.fields[name]) for name in names}


def _go_name(name: str) -> str:
    return _NAMES.get(name) or name[:1].upper() + name[1:]


def _value(value: Any, one: Field) -> Any:
    message = one.message
    if one.shape is Shape.LIST:
        if not value:
            return None
        return [_shown(each, message) for each in value] if message is not None else value
    if one.shape is Shape.MAP:
        return dict(sorted(value.items())) if value else None
    if message is None:
        return _ZEROES.get(one.kind) if value is None and one.presence != "p" else value
    if message.name == "meta.v1.LabelSelector":
        return shown_selector(value)
    if value is None and one.presence == "p":
        return None
    return _shown(value or {}, message)
