"""
The default seccomp profile: an allow-list of system calls that grows with the container's capabilities.

The list is data (`data/seccomp.txt`). The rest is answered with EPERM, as programs expect of a container.
"""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import Any

from tiphys.runtime import kernel
from tiphys.runtime.door import StartFailed

EPERM, ENOSYS = 1, 38
# crun takes a ready filter here instead of compiling one of linux.seccomp, and keeps the one that it used in a file.
COMPILED, COMPILED_FILE = "run.oci.seccomp_bpf_data", "seccomp.bpf"
COMPILED_MAX = 64
ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}
# CLONE_NEW* of all kinds: namespaces that an unprivileged clone() must not make.
NAMESPACE_FLAGS = 0x7E020000
# Personalities that change nothing that matters: Linux, 32-bit uname, no randomisation is not among them.
PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)


def profile(kind: str, capabilities: frozenset[str]) -> dict[str, Any] | None:
    """linux.seccomp of the OCI configuration; None for "unconfined". StartFailed when a profile cannot be read."""
    if kind == "unconfined":
        return None
    if kind == "default":
        return _default(capabilities)
    try:
        return _flat(json.loads(Path(kind).read_bytes()), capabilities)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StartFailed(f"seccomp profile {kind} cannot be used: {error}") from error


class Filters:
    """
    Profiles as crun has compiled them. That takes 10 ms, so only the first container of a profile pays it; the rules
    stay in the configuration all the same, for an OCI runtime that does not know of ready filters.
    """

    def __init__(self) -> None:
        self._compiled: dict[str, str] = {}

    def give(self, config: dict[str, Any]) -> str:
        """Put the filter into a configuration if it is known; under what to `learn` it if not ("": nothing to)."""
        rules = config["linux"].get("seccomp")
        if rules is None:
            return ""
        name = json.dumps(rules)
        known = self._compiled.get(name)
        if known is None:
            return name
        config["annotations"][COMPILED] = known
        return ""

    def learn(self, name: str, state: Path) -> None:
        """What crun made for a container that runs by now; `state` is its directory of that container."""
        if not name or name in self._compiled or len(self._compiled) >= COMPILED_MAX:
            return
        path = state / COMPILED_FILE
        if path.exists() and (content := path.read_bytes()):
            self._compiled[name] = base64.b64encode(content).decode()


@functools.lru_cache(maxsize=32)
def _default(capabilities: frozenset[str]) -> dict[str, Any]:
    table = _table()
    allowed = set(table["always"]).union(*(table.get(name, ()) for name in capabilities))
    rules: list[dict[str, Any]] = [{"names": sorted(allowed), "action": "SCMP_ACT_ALLOW"}]
    for value in PERSONALITIES:
        match = {"index": 0, "value": value, "op": "SCMP_CMP_EQ"}
        rules.append({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [match]})
    if "CAP_SYS_ADMIN" not in capabilities:
        no_namespace = {"index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
        rules.append({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [no_namespace]})
        # Its flags are behind a pointer, out of a filter's sight: ENOSYS makes libc fall back to clone().
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return _filter("SCMP_ACT_ERRNO", EPERM, rules)


def _filter(action: str, errno: int | None, rules: list[dict[str, Any]]) -> dict[str, Any]:
    shape: dict[str, Any] = {"defaultAction": action, "syscalls": rules}
    if errno is not None:
        shape["defaultErrnoRet"] = errno
    if kernel.machine() in ARCHITECTURES:
        shape["architectures"] = ARCHITECTURES[kernel.machine()]
    return shape


def _flat(raw: dict[str, Any], capabilities: frozenset[str]) -> dict[str, Any]:
    """A profile file: what depends on capabilities or architecture is decided here, OCI knows no conditions."""
    fields = ("names", "action", "args", "errnoRet")
    rules = [
        {name: rule[name] for name in fields if rule.get(name) is not None}
        for rule in raw.get("syscalls") or ()
        if _applies(rule, capabilities)
    ]
    shape = _filter(raw["defaultAction"], raw.get("defaultErrnoRet"), rules)
    if raw.get("architectures"):
        shape["architectures"] = raw["architectures"]
    return shape


def _applies(rule: dict[str, Any], capabilities: frozenset[str]) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    here = {"x86_64": {"amd64", "x86", "x32"}, "aarch64": {"arm64", "arm"}}.get(kernel.machine(), {kernel.machine()})
    if includes.get("caps") and not capabilities.issuperset(includes["caps"]):
        return False
    if excludes.get("caps") and capabilities.intersection(excludes["caps"]):
        return False
    if includes.get("arches") and not here.intersection(includes["arches"]):
        return False
    return not here.intersection(excludes.get("arches") or ())


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in (Path(__file__).parent / "data/seccomp.txt").read_text().splitlines():
        if line.endswith(":"):
            name = line[:-1]
        elif not line.startswith("#"):
            table[name] = (*table.get(name, ()), *line.split())
    return table
