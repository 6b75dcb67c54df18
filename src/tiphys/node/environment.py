"""
The environment of a container: env, envFrom, the downward API and service links, with `$(VAR)` expansion.

`Sources` holds what was looked up before, so that everything here is pure. What cannot be resolved raises ConfigError
with the kubelet's text, which becomes CreateContainerConfigError.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.api import quantity
from tiphys.node.objects import Ref

Object = dict[str, Any]
Pod = Mapping[str, Any]
Container = Mapping[str, Any]

MASTER_SERVICE = ("default", "kubernetes")


class ConfigError(Exception):
    """A container's configuration names something that is not there."""


@dataclass(frozen=True, slots=True)
class Sources:
    """
    `objects` maps what is referred to, to the object or None; `services` are those that links are made for. `from_file`
    gives what a file of a volume says of a name (`fileKeyRef`), None if nothing.
    """

    objects: Mapping[Ref, Object | None] = field(default_factory=dict)
    services: Sequence[Mapping[str, Any]] = ()
    pod_ip: str = ""
    host_ip: str = ""
    allocatable: Mapping[str, str] = field(default_factory=dict)
    from_file: Callable[[Mapping[str, Any]], str | None] = lambda _: None


# what is needed


def references(pod: Pod) -> set[Ref]:
    """The ConfigMaps and Secrets that the environments of a pod refer to."""
    namespace = pod["metadata"]["namespace"]
    found = set()
    for container in _containers(pod):
        for source in container.get("envFrom") or ():
            for field_name, kind in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
                if source.get(field_name):
                    found.add(Ref(kind, namespace, source[field_name]["name"]))
        for entry in container.get("env") or ():
            for field_name, kind in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
                if (entry.get("valueFrom") or {}).get(field_name):
                    found.add(Ref(kind, namespace, entry["valueFrom"][field_name]["name"]))
    return found


def _containers(pod: Pod) -> list[Container]:
    spec = pod["spec"]
    return [*(spec.get("initContainers") or ()), *spec["containers"], *(spec.get("ephemeralContainers") or ())]


# the whole


def environment(pod: Pod, container: Container, sources: Sources) -> dict[str, str]:
    """Name to value; later sources win: service links, envFrom, env."""
    links = service_links(pod, sources.services)
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        result |= _from_source(pod, source, sources)
    for entry in container.get("env") or ():
        if entry.get("valueFrom"):
            value = _value_from(pod, container, entry["valueFrom"], sources)
            if value is None:
                continue
        else:
            value = expand(entry.get("value") or "", {**links, **result})
        result[entry["name"]] = value
    return {**links, **result}


_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value if it is known; `$$` is one `$`."""

    def replaced(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return variables.get(match.group(2), match.group(0))

    return _REFERENCE.sub(replaced, text)


def decoded(obj: Mapping[str, Any]) -> dict[str, bytes]:
    """The data of a ConfigMap (text and binary) or a Secret, as bytes."""
    is_secret = obj.get("kind") == "Secret"
    values = obj.get("data") or {}
    plain = {k: base64.b64decode(v) if is_secret else v.encode() for k, v in values.items()}
    return plain | {k: base64.b64decode(v) for k, v in (obj.get("binaryData") or {}).items()}


def _from_source(pod: Pod, source: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    kind, singular, ref = _named(source, "configMapRef", "secretRef")
    obj = sources.objects.get(Ref(kind, pod["metadata"]["namespace"], ref["name"]))
    if obj is None:
        if ref.get("optional"):
            return {}
        raise ConfigError(f'{singular} "{ref["name"]}" not found')
    prefix = source.get("prefix") or ""
    return {prefix + key: value.decode("utf-8", "replace") for key, value in decoded(obj).items() if "=" not in key}


def _named(source: Mapping[str, Any], config_map: str, secret: str) -> tuple[str, str, Mapping[str, Any]]:
    if source.get(config_map):
        return "configmaps", "configmap", source[config_map]
    return "secrets", "secret", source[secret]


def _value_from(pod: Pod, container: Container, source: Mapping[str, Any], sources: Sources) -> str | None:
    """None: an optional reference to nothing."""
    if source.get("fieldRef"):
        return field_value(pod, source["fieldRef"]["fieldPath"], sources)
    if source.get("resourceFieldRef"):
        return resource_value(pod, container, source["resourceFieldRef"], sources)
    if source.get("fileKeyRef"):
        return _file_value(source["fileKeyRef"], sources)
    if not (source.get("configMapKeyRef") or source.get("secretKeyRef")):
        raise ConfigError(f"environment variables from {', '.join(source)} are not supported")
    kind, singular, ref = _named(source, "configMapKeyRef", "secretKeyRef")
    namespace = pod["metadata"]["namespace"]
    obj = sources.objects.get(Ref(kind, namespace, ref["name"]))
    if obj is None:
        if ref.get("optional"):
            return None
        raise ConfigError(f'{singular} "{ref["name"]}" not found')
    values = decoded(obj)
    if ref["key"] not in values:
        if ref.get("optional"):
            return None
        label = "ConfigMap" if kind == "configmaps" else "Secret"
        raise ConfigError(f"couldn't find key {ref['key']} in {label} {namespace}/{ref['name']}")
    return values[ref["key"]].decode("utf-8", "replace")


def _file_value(ref: Mapping[str, Any], sources: Sources) -> str | None:
    value = sources.from_file(ref)
    if value is None and not ref.get("optional"):
        raise ConfigError(f'environment variable key "{ref["key"]}" not found in file "{ref["path"]}"')
    return value


# the downward API

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


def field_value(pod: Pod, path: str, sources: Sources) -> str:
    """The text of one field of the pod."""
    meta, spec = pod["metadata"], pod["spec"]
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        return str((meta.get(subscript.group(1)) or {}).get(subscript.group(2), ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return "\n".join(f"{k}={quoted(v)}" for k, v in sorted((meta.get(path[9:]) or {}).items()))
    known = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": sources.host_ip,
        "status.hostIPs": sources.host_ip,
        "status.podIP": sources.pod_ip,
        "status.podIPs": sources.pod_ip,
    }
    if path not in known:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(known[path])


def quoted(text: str) -> str:
    """As Go's %q prints the values of labels and annotations."""
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    return '"' + "".join(short.get(c) or (c if c.isprintable() else f"\\x{ord(c):02x}") for c in text) + '"'


def resource_value(pod: Pod, container: Container, ref: Mapping[str, Any], sources: Sources) -> str:
    """A limit or request in units of the divisor, rounded up. A limit that is not set is the node's allocatable."""
    named = ref.get("containerName")
    if named and named != container.get("name"):
        every = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
        container = next((c for c in every if c["name"] == named), {})
        if not container:
            raise ConfigError(f"container {named} not found")
    part, _, name = ref["resource"].partition(".")
    held = ((container.get("resources") or {}).get(part) or {}).get(name)
    if held is None:
        held = sources.allocatable.get(name, "0") if part == "limits" else "0"
    divisor = quantity.parse(str(ref.get("divisor") or "1")) or quantity.parse("1")
    return str(-(-quantity.parse(str(held)) // divisor))


# service links


def service_links(pod: Pod, services: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The variables of every Service of the namespace, and always those of the API server's own."""
    wanted = pod["spec"].get("enableServiceLinks", True)
    result: dict[str, str] = {}
    chosen = []
    for service in services:
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        if key == MASTER_SERVICE or (wanted and key[0] == pod["metadata"]["namespace"]):
            chosen.append((key[0] == pod["metadata"]["namespace"], key, service))
    # A Service of the pod's own namespace wins over one of the same name elsewhere.
    for _, _, service in sorted(chosen, key=lambda item: item[:2]):
        result |= _links_of(service)
    return result


def _links_of(service: Mapping[str, Any]) -> dict[str, str]:
    spec = service["spec"]
    address, ports = spec.get("clusterIP"), spec.get("ports") or ()
    if not address or address == "None" or not ports:
        return {}
    host = f"[{address}]" if ":" in address else address
    prefix = _variable(service["metadata"]["name"])
    result = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for index, port in enumerate(ports):
        protocol, number = port.get("protocol", "TCP"), port["port"]
        if port.get("name"):
            result[f"{prefix}_SERVICE_PORT_{_variable(port['name'])}"] = str(number)
        url = f"{protocol.lower()}://{host}:{number}"
        if index == 0:
            result[f"{prefix}_PORT"] = url
        stem = f"{prefix}_PORT_{number}_{protocol.upper()}"
        result |= {stem: url, f"{stem}_PROTO": protocol.lower(), f"{stem}_PORT": str(number), f"{stem}_ADDR": address}
    return result


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
