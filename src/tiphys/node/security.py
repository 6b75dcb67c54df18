"""securityContext of pod and container, merged: the container's word wins. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiphys.node.environment import ConfigError
from tiphys.node.pod import spec
from tiphys.runtime.door import Image, Security

Pod = Mapping[str, Any]
Container = Mapping[str, Any]

# Namespaced in the kernel and isolated between pods, so a pod may set them without asking.
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)


def security_of(pod: Pod, container: Container, seccomp_dir: Path) -> Security:
    """What the runtime is told about privileges."""
    shared, own = pod["spec"].get("securityContext") or {}, container.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    privileged = bool(own.get("privileged"))
    groups = [*(shared.get("supplementalGroups") or ())]
    if shared.get("fsGroup") is not None:
        groups.append(shared["fsGroup"])
    return Security(
        user=_first(own, shared, "runAsUser"),
        group=_first(own, shared, "runAsGroup"),
        supplemental_groups=tuple(dict.fromkeys(groups)),
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        privileged=privileged,
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        seccomp="unconfined" if privileged else _seccomp(_first(own, shared, "seccompProfile"), seccomp_dir),
        unmasked_proc=own.get("procMount") == "Unmasked",
        run_as_non_root=bool(_first(own, shared, "runAsNonRoot")),
        strict_groups=shared.get("supplementalGroupsPolicy") == "Strict",
        apparmor="" if privileged else _apparmor(_first(own, shared, "appArmorProfile")),
    )


def _first(own: Mapping[str, Any], shared: Mapping[str, Any], name: str) -> Any:
    return own[name] if own.get(name) is not None else shared.get(name)


def _apparmor(profile: Mapping[str, Any] | None) -> str:
    return str(profile.get("localhostProfile") or "") if profile is not None and profile["type"] == "Localhost" else ""


def _seccomp(profile: Mapping[str, Any] | None, seccomp_dir: Path) -> str:
    kind = (profile or {}).get("type", "RuntimeDefault")
    if kind == "Unconfined":
        return "unconfined"
    if kind == "Localhost" and profile is not None:
        return str(seccomp_dir / profile["localhostProfile"])
    return "default"


def verify_non_root(pod: Pod, container: Container, security: Security, image: Image) -> None:
    """ConfigError when the container must not run as root and would, or nobody can tell."""
    if not security.run_as_non_root:
        return
    where = f'(pod: "{spec.described(pod)}", container: {container["name"]})'
    if security.user is not None:
        if security.user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    user = image.user.partition(":")[0]
    if user in ("", "0"):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not user.isdecimal():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({user}), "
            f"cannot verify user is non-root {where}"
        )


def sysctls_of(pod: Pod) -> dict[str, str]:
    shared = pod["spec"].get("securityContext") or {}
    return {entry["name"].replace("/", "."): entry["value"] for entry in shared.get("sysctls") or ()}


def forbidden_sysctl(pod: Pod, allowed_unsafe: tuple[str, ...] = ()) -> str:
    """Why the node refuses the pod's sysctls; "" when it does not."""
    for name in sysctls_of(pod):
        allowed = name in SAFE_SYSCTLS or any(_covers(pattern, name) for pattern in allowed_unsafe)
        if not allowed:
            return f'forbidden sysctl: "{name}" not allowlisted'
        if name.startswith("net.") and pod["spec"].get("hostNetwork"):
            return f'forbidden sysctl: "{name}" not allowed with host net enabled'
        if name.startswith("kernel.") and pod["spec"].get("hostIPC"):
            return f'forbidden sysctl: "{name}" not allowed with host ipc enabled'
    return ""


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
