"""
The Pod Security Standards as pure checks: what a pod's spec violates at a level, in Kubernetes' own words.

A check answers with (reason, detail) or None. `restricted` contains `baseline`; where both look at the same thing, the
stricter check replaces the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tiphys.apiserver.authz.attributes import quoted

Spec = Mapping[str, Any]
Violation = tuple[str, str]
Check = Callable[[Spec], Violation | None]

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_DEFAULT_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
_SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    )
)  # fmt: skip
_SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
_VOLUME_TYPES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
)


def violations(spec: Spec, level: str) -> list[Violation]:
    """Everything that a pod violates at `privileged`, `baseline` or `restricted`."""
    checks: Sequence[Check] = {"baseline": BASELINE, "restricted": RESTRICTED}.get(level, ())
    return [found for found in (check(spec) for check in checks) if found is not None]


def told(found: Iterable[Violation]) -> str:
    """`reason (detail), reason (detail)`."""
    return ", ".join(f"{reason} ({detail})" for reason, detail in found)


def _containers(spec: Spec) -> Iterator[Mapping[str, Any]]:
    for kind in _CONTAINER_LISTS:
        yield from spec.get(kind) or ()


def _security(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = holder.get("securityContext") or {}
    return found


def _names(containers: Sequence[Mapping[str, Any]]) -> str:
    """`container "a"` or `containers "a", "b"`."""
    listed = ", ".join(quoted(each["name"]) for each in containers)
    return f"container{'s' if len(containers) > 1 else ''} {listed}"


def _list(values: Iterable[str]) -> str:
    return ", ".join(quoted(value) for value in values)


# baseline


def _capabilities_baseline(spec: Spec) -> Violation | None:
    detail = _added(spec, _DEFAULT_CAPABILITIES)
    return ("non-default capabilities", detail) if detail else None


def _added(spec: Spec, allowed: frozenset[str]) -> str:
    bad, names = [], set()
    for container in _containers(spec):
        added = [
            each for each in (_security(container).get("capabilities") or {}).get("add") or () if each not in allowed
        ]
        if added:
            bad.append(container)
            names.update(added)
    if not bad:
        return ""
    return f"{_names(bad)} must not include {_list(sorted(names))} in securityContext.capabilities.add"


def _host_namespaces(spec: Spec) -> Violation | None:
    used = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return ("host namespaces", ", ".join(used)) if used else None


def _host_paths(spec: Spec) -> Violation | None:
    names = [volume["name"] for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    return ("hostPath volumes", f"volume{'s' if len(names) > 1 else ''} {_list(names)}") if names else None


def _host_ports(spec: Spec) -> Violation | None:
    bad, ports = [], set()
    for container in _containers(spec):
        used = {port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")}
        if used:
            bad.append(container)
            ports.update(used)
    if not bad:
        return None
    verb, noun = ("use" if len(bad) > 1 else "uses"), ("hostPorts" if len(ports) > 1 else "hostPort")
    return "hostPort", f"{_names(bad)} {verb} {noun} {', '.join(map(str, sorted(ports)))}"


def _privileged(spec: Spec) -> Violation | None:
    bad = [each for each in _containers(spec) if _security(each).get("privileged")]
    return ("privileged", f"{_names(bad)} must not set securityContext.privileged=true") if bad else None


def _proc_mount(spec: Spec) -> Violation | None:
    bad = [each for each in _containers(spec) if _security(each).get("procMount", "Default") != "Default"]
    if not bad:
        return None
    values = sorted({_security(each)["procMount"] for each in bad})
    return "procMount", f"{_names(bad)} must not set securityContext.procMount to {_list(values)}"


def _selinux(spec: Spec) -> Violation | None:
    setters, wrong = [], []
    for who, holder in (("pod", spec), *((None, each) for each in _containers(spec))):
        options = _security(holder).get("seLinuxOptions") or {}
        mistakes = [f"type {quoted(options['type'])}"] if options.get("type", "") not in _SELINUX_TYPES else []
        mistakes += [f"{name} may not be set" for name in ("user", "role") if options.get(name)]
        if mistakes:
            setters.append(who or _names([holder]))
            wrong += [each for each in mistakes if each not in wrong]
    if not setters:
        return None
    return "seLinuxOptions", f"{' and '.join(setters)} set forbidden securityContext.seLinuxOptions: {'; '.join(wrong)}"


def _app_armor(spec: Spec) -> Violation | None:
    setters = _setters(
        spec, lambda holder: (_security(holder).get("appArmorProfile") or {}).get("type") == "Unconfined"
    )
    if not setters:
        return None
    return "forbidden AppArmor profile", f'{setters} must not set AppArmor profile type to "Unconfined"'


def _seccomp_baseline(spec: Spec) -> Violation | None:
    setters = _setters(spec, lambda holder: _seccomp_of(holder) == "Unconfined")
    if not setters:
        return None
    return "seccompProfile", f'{setters} must not set securityContext.seccompProfile.type to "Unconfined"'


def _seccomp_of(holder: Mapping[str, Any]) -> str:
    return str((_security(holder).get("seccompProfile") or {}).get("type", ""))


def _setters(spec: Spec, is_bad: Callable[[Mapping[str, Any]], bool]) -> str:
    """`pod and containers "a", "b"`: who sets something that is forbidden."""
    found = ["pod"] if is_bad(spec) else []
    bad = [each for each in _containers(spec) if is_bad(each)]
    if bad:
        found.append(_names(bad))
    return " and ".join(found)


def _sysctls(spec: Spec) -> Violation | None:
    names = [each["name"] for each in _security(spec).get("sysctls") or () if each["name"] not in _SAFE_SYSCTLS]
    return ("forbidden sysctls", ", ".join(names)) if names else None


def _host_process(spec: Spec) -> Violation | None:
    setters = _setters(spec, lambda holder: bool((_security(holder).get("windowsOptions") or {}).get("hostProcess")))
    if not setters:
        return None
    return "hostProcess", f"{setters} must not set securityContext.windowsOptions.hostProcess=true"


# restricted


def _is_windows(spec: Spec) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def _escalation(spec: Spec) -> Violation | None:
    bad = [each for each in _containers(spec) if _security(each).get("allowPrivilegeEscalation") is not False]
    if not bad or _is_windows(spec):
        return None
    return "allowPrivilegeEscalation != false", f"{_names(bad)} must set securityContext.allowPrivilegeEscalation=false"


def _capabilities_restricted(spec: Spec) -> Violation | None:
    if _is_windows(spec):
        return None
    keeping = [
        each for each in _containers(spec)
        if "ALL" not in ((_security(each).get("capabilities") or {}).get("drop") or ())
    ]  # fmt: skip
    details = [f'{_names(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    added = _added(spec, frozenset(("NET_BIND_SERVICE",)))
    if added:
        details.append(added)
    return ("unrestricted capabilities", "; ".join(details)) if details else None


def _volumes(spec: Spec) -> Violation | None:
    bad, types = [], set()
    for volume in spec.get("volumes") or ():
        used = [name for name in volume if name != "name" and name not in _VOLUME_TYPES and volume[name] is not None]
        if used:
            bad.append(volume["name"])
            types.update(used)
    if not bad:
        return None
    many, kinds = len(bad) > 1, len(types) > 1
    what = f"{'use' if many else 'uses'} restricted volume type{'s' if kinds else ''} {_list(sorted(types))}"
    return "restricted volume types", f"volume{'s' if many else ''} {_list(bad)} {what}"


def _non_root(spec: Spec) -> Violation | None:
    setters = _setters(spec, lambda holder: _security(holder).get("runAsNonRoot") is False)
    if setters:
        return "runAsNonRoot != true", f"{setters} must not set securityContext.runAsNonRoot=false"
    if _security(spec).get("runAsNonRoot"):
        return None
    silent = [each for each in _containers(spec) if _security(each).get("runAsNonRoot") is None]
    if not silent:
        return None
    return "runAsNonRoot != true", f"pod or {_names(silent)} must set securityContext.runAsNonRoot=true"


def _user(spec: Spec) -> Violation | None:
    setters = _setters(spec, lambda holder: _security(holder).get("runAsUser") == 0)
    return ("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def _seccomp_restricted(spec: Spec) -> Violation | None:
    if _is_windows(spec):
        return None
    good = ("RuntimeDefault", "Localhost")
    setters = _setters(spec, lambda holder: _seccomp_of(holder) not in ("", *good))
    if setters:
        values = sorted({_seccomp_of(h) for h in (spec, *_containers(spec)) if _seccomp_of(h) not in ("", *good)})
        return "seccompProfile", f"{setters} must not set securityContext.seccompProfile.type to {_list(values)}"
    silent = [] if _seccomp_of(spec) else [each for each in _containers(spec) if not _seccomp_of(each)]
    if not silent:
        return None
    wanted = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", f"pod or {_names(silent)} {wanted}"


# In the order in which Kubernetes tells them.
_BOTH: tuple[Check, ...] = (_host_ports, _privileged, _proc_mount, _selinux)
BASELINE: tuple[Check, ...] = (
    _app_armor, _capabilities_baseline, _host_namespaces, _host_paths, *_BOTH, _seccomp_baseline, _sysctls,
    _host_process,
)  # fmt: skip
RESTRICTED: tuple[Check, ...] = (
    _app_armor, _host_namespaces, *_BOTH, _sysctls, _host_process, _escalation, _capabilities_restricted, _volumes,
    _non_root, _user, _seccomp_restricted,
)  # fmt: skip
