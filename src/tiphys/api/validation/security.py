"""The security contexts of pods and of containers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long
from tiphys.api.validation.internal import internal
from tiphys.api.validation.values import INT32_MAX, descending_path, option_errors, range_errors

_SYSCTL = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_is_sysctl = re.compile(_SYSCTL).fullmatch
_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROFILE_NAME_LENGTH_MAX = 4095
# The order of Go's struct, in which an error shows it.
_CONTEXT = (
    "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot",
    "readOnlyRootFilesystem", "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile",
)  # fmt: skip
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def container_context_errors(context: Mapping[str, Any], path: str, *, host_users: bool) -> list[FieldError]:
    """The security context of a container; `host_users` says that the pod has no user namespace."""
    errors = range_errors(context.get("runAsUser"), f"{path}.runAsUser", 0, INT32_MAX)
    errors += range_errors(context.get("runAsGroup"), f"{path}.runAsGroup", 0, INT32_MAX)
    mount = context.get("procMount")
    if mount is not None:
        errors += option_errors(mount, f"{path}.procMount", ("Default", "Unmasked"))
        if mount == "Unmasked" and host_users:
            errors.append(invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`"))
    if "seccompProfile" in context:
        errors += _seccomp_errors(context["seccompProfile"], f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        text = "cannot set `allowPrivilegeEscalation` to false and "
        if context.get("privileged"):
            errors.append(invalid(path, _shown(context), text + "`privileged` to true"))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            errors.append(invalid(path, _shown(context), text + "`capabilities.Add` CAP_SYS_ADMIN"))
    if "appArmorProfile" in context:
        errors += _apparmor_errors(context["appArmorProfile"], f"{path}.appArmorProfile")
    return errors


def _shown(context: Mapping[str, Any]) -> dict[str, Any] | None:
    shown = internal(context, "core.v1.SecurityContext", *_CONTEXT)
    if shown is not None and "SeLinuxOptions" in shown:
        return {name.replace("SeLinux", "SELinux"): value for name, value in shown.items()}
    return shown


def pod_context_errors(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """The security context of a pod and the namespaces that it shares."""
    context = spec.get("securityContext") or {}
    where = f"{path}.securityContext"
    errors: list[FieldError] = []
    if context:
        for name in ("fsGroup", "runAsUser", "runAsGroup"):
            errors += range_errors(context.get(name), f"{where}.{name}", 0, INT32_MAX)
        for index, group in enumerate(context.get("supplementalGroups") or ()):
            errors += range_errors(group, f"{where}.supplementalGroups[{index}]", 0, INT32_MAX)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{path}.shareProcessNamespace", True, text))
    if not context:
        return errors
    if context.get("sysctls"):
        errors += _sysctl_errors(spec, context["sysctls"], f"{where}.sysctls")
    policy = context.get("fsGroupChangePolicy")
    errors += option_errors(policy, f"{where}.fsGroupChangePolicy", ("Always", "OnRootMismatch"))
    if "seccompProfile" in context:
        errors += _seccomp_errors(context["seccompProfile"], f"{where}.seccompProfile")
    if "appArmorProfile" in context:
        errors += _apparmor_errors(context["appArmorProfile"], f"{where}.appArmorProfile")
    policy = context.get("supplementalGroupsPolicy")
    errors += option_errors(policy, f"{where}.supplementalGroupsPolicy", ("Merge", "Strict"))
    policy = context.get("seLinuxChangePolicy")
    return errors + option_errors(policy, f"{where}.seLinuxChangePolicy", ("MountOption", "Recursive"))


def _sysctl_errors(spec: Mapping[str, Any], sysctls: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen = set()
    for index, sysctl in enumerate(sysctls):
        name, where = sysctl.get("name", ""), f"{path}[{index}].name"
        if not name:
            errors.append(required(where))
        elif len(name) > 253 or not _is_sysctl(name):
            errors.append(invalid(where, name, f"must have at most 253 characters and match regex {_SYSCTL}"))
        elif name in seen:
            errors.append(duplicate(where, name))
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.append(invalid(where, name, "may not be specified when 'hostNetwork' is true"))
        if spec.get("hostIPC") and dotted.startswith(_IPC_SYSCTLS):
            errors.append(invalid(where, name, "may not be specified when 'hostIPC' is true"))
    return errors


def _seccomp_errors(profile: Mapping[str, Any], path: str) -> list[FieldError]:
    kind, name = profile.get("type"), profile.get("localhostProfile")
    errors = _type_errors(kind, f"{path}.type", "seccompProfile")
    if kind == "Localhost":
        if name is None:
            errors.append(required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
        else:
            errors += descending_path(name, f"{path}.localhostProfile")
    elif name is not None:
        shown = internal(profile, "core.v1.SeccompProfile", "type", "localhostProfile")
        errors.append(invalid(f"{path}.localhostProfile", shown, "can only be set when seccomp type is Localhost"))
    return errors


def _type_errors(kind: Any, path: str, what: str) -> list[FieldError]:
    if not kind:
        return [required(path, f"type is required when {what} is set")]
    return [] if kind in _PROFILE_TYPES else [not_supported(path, kind, _PROFILE_TYPES, is_set=False)]


def _apparmor_errors(profile: Mapping[str, Any], path: str) -> list[FieldError]:
    kind, name = profile.get("type"), profile.get("localhostProfile")
    where = f"{path}.localhostProfile"
    if kind == "Localhost":
        if name is None or not name.strip():
            return [required(where, "must be set when AppArmor type is Localhost")]
        if name != name.strip():
            return [invalid(where, name, "must not be padded with whitespace")]
        return [too_long(where, _PROFILE_NAME_LENGTH_MAX)] if len(name) > _PROFILE_NAME_LENGTH_MAX else []
    if kind in _PROFILE_TYPES:
        text = "can only be set when AppArmor type is Localhost"
        return [invalid(where, name, text)] if name is not None else []
    return _type_errors(kind, f"{path}.type", "appArmorProfile")


def host_user_errors(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """A pod with users of its own shares no other namespace with the host."""
    if spec.get("hostUsers") is not False:
        return []
    shared = (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
    return [forbidden(f"{path}.{shown}", "when `hostUsers` is false") for name, shown in shared if spec.get(name)]
