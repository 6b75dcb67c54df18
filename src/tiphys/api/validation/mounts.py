"""Where containers see volumes: as directories and files, or as block devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_found, required
from tiphys.api.validation.values import descending_path, option_errors

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_READ_ONLY = ("Disabled", "IfPossible", "Enabled")

Volumes = Mapping[str, Mapping[str, Any]]


def mount_errors(container: Mapping[str, Any], path: str, volumes: Volumes) -> list[FieldError]:
    """`volumeMounts` of a container; `volumes` are the valid ones of its pod by name."""
    errors: list[FieldError] = []
    paths: set[str] = set()
    devices = container.get("volumeDevices") or ()
    for index, mount in enumerate(container["volumeMounts"]):
        where, name, target = f"{path}.volumeMounts[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            errors.append(required(f"{where}.name"))
        if name not in volumes:
            errors.append(not_found(f"{where}.name", name))
        if not target:
            errors.append(required(f"{where}.mountPath"))
        if target in paths:
            errors.append(invalid(f"{where}.mountPath", target, "must be unique"))
        paths.add(target)
        if any(device.get("name") == name for device in devices):
            errors.append(invalid(f"{where}.name", name, "must not already exist in volumeDevices"))
        if any(device.get("devicePath") == target for device in devices):
            text = "must not already exist as a path in volumeDevices"
            errors.append(invalid(f"{where}.mountPath", target, text))
        if len(mount) > 2:
            errors += _option_errors(mount, where, container)
    return errors


def _option_errors(mount: Mapping[str, Any], path: str, container: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    if mount.get("subPath"):
        errors += descending_path(mount["subPath"], f"{path}.subPath")
    expression = mount.get("subPathExpr")
    if expression:
        if mount.get("subPath"):
            text = "subPathExpr and subPath are mutually exclusive"
            errors.append(invalid(f"{path}.subPathExpr", expression, text))
        errors += descending_path(expression, f"{path}.subPathExpr")
    propagation = mount.get("mountPropagation")
    errors += option_errors(propagation, f"{path}.mountPropagation", _PROPAGATIONS)
    if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        text = "Bidirectional mount propagation is available only to privileged containers"
        errors.append(forbidden(f"{path}.mountPropagation", text))
    recursive = mount.get("recursiveReadOnly")
    where = f"{path}.recursiveReadOnly"
    errors += option_errors(recursive, where, _READ_ONLY, is_set=False)
    if recursive in ("IfPossible", "Enabled"):
        if not mount.get("readOnly"):
            errors.append(forbidden(where, "may only be specified when readOnly is true"))
        if propagation not in (None, "None"):
            text = "may only be specified when mountPropagation is None or not specified"
            errors.append(forbidden(where, text))
    return errors


def device_errors(container: Mapping[str, Any], path: str, volumes: Volumes) -> list[FieldError]:
    """`volumeDevices` of a container: claims in block mode alone."""
    errors: list[FieldError] = []
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    mounts = container.get("volumeMounts") or ()
    for index, device in enumerate(container["volumeDevices"]):
        where, name, target = f"{path}.volumeDevices[{index}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            errors.append(required(f"{where}.name"))
        if name in seen_names:
            errors.append(invalid(f"{where}.name", name, "must be unique"))
        errors += _volume_errors(name, f"{where}.name", volumes)
        if not target:
            errors.append(required(f"{where}.devicePath"))
        if target in seen_paths:
            errors.append(invalid(f"{where}.devicePath", target, "must be unique"))
        if ".." in target.split("/"):
            errors.append(invalid(f"{where}.devicePath", target, "can not contain backsteps ('..')"))
        else:
            seen_paths.add(target)
        if any(mount.get("name") == name for mount in mounts):
            errors.append(invalid(f"{where}.name", name, "must not already exist in volumeMounts"))
        if any(mount.get("mountPath") == target for mount in mounts):
            text = "must not already exist as a path in volumeMounts"
            errors.append(invalid(f"{where}.devicePath", target, text))
        if name:
            seen_names.add(name)
    return errors


def _volume_errors(name: str, path: str, volumes: Volumes) -> list[FieldError]:
    if name not in volumes:
        return [not_found(path, name)]
    if "persistentVolumeClaim" in volumes[name] or "ephemeral" in volumes[name]:
        return []
    text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
    return [invalid(path, name, text)]
