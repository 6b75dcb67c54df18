"""
Is a pod spec valid, in a Pod or in a template: the pieces in the order in which Kubernetes looks at them.

For a small pod this runs in some ten microseconds: a piece that is not there costs one look-up, and paths are built
when a list is entered, not for every field. Specs that were valid are remembered: all pods of a workload have one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tiphys.api.validation import names
from tiphys.api.validation.amounts import pod_resource_errors, resource_errors
from tiphys.api.validation.containers import (
    Surroundings,
    container_list_errors,
    ephemeral_container_errors,
    init_container_errors,
)
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, required
from tiphys.api.validation.internal import internal
from tiphys.api.validation.metadata import annotation_errors, label_errors
from tiphys.api.validation.scheduling import affinity_errors, gate_errors, spread_errors, toleration_list_errors
from tiphys.api.validation.security import host_user_errors, pod_context_errors
from tiphys.api.validation.values import INT32_MAX, choice_errors, name_errors, option_errors, range_errors
from tiphys.api.validation.volumes import volume_list_errors

Spec = Mapping[str, Any]

MIRROR = "kubernetes.io/config.mirror"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NAMESERVERS_MAX, _SEARCHES_MAX, _SEARCH_LENGTH_MAX = 3, 32, 2048
_SEARCH_LABEL = "[a-z0-9_]([-_a-z0-9]*[a-z0-9])?"
_SEARCH = rf"{_SEARCH_LABEL}(\.{_SEARCH_LABEL})*"
_is_search = re.compile(_SEARCH).fullmatch
_SEARCH_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character"
)
# Specs that are remembered, and how long one may be.
_VALID_MAX, _VALID_BYTES_MAX = 1_000, 8_192
_EPHEMERAL = b'"ephemeral":'  # a volume whose claim is named after the pod
_valid: set[bytes] = set()
_CLAIM_SOURCES = ("resourceClaimName", "resourceClaimTemplateName")


def template_errors(template: Mapping[str, Any], path: str) -> list[FieldError]:
    """The pod template of a workload; `path` is its own."""
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    errors: list[FieldError] = []
    if metadata.get("labels"):
        errors += label_errors(metadata["labels"], f"{path}.labels")
    if metadata.get("annotations"):
        errors += annotation_errors(metadata["annotations"], f"{path}.annotations")
        errors += pod_annotation_errors(metadata["annotations"], spec, f"{path}.annotations")
    errors += spec_errors(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", text))
    return errors


def pod_annotation_errors(annotations: Mapping[str, str], spec: Spec, path: str) -> list[FieldError]:
    """Annotations that mean something to the system."""
    errors: list[FieldError] = []
    if MIRROR in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(invalid(f"{path}[{MIRROR}]", annotations[MIRROR], text))
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not (re.fullmatch(r"-?\d{1,10}", cost) and abs(int(cost)) <= INT32_MAX):
        errors.append(invalid(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer"))
    return errors


def spec_errors(spec: Spec, path: str, pod_name: str = "") -> list[FieldError]:
    """A pod spec; `pod_name` is given where it stands in a Pod."""
    encoded = orjson.dumps(spec)
    if encoded in _valid:
        return []
    errors = _spec_errors(spec, path, pod_name)
    if not errors and len(encoded) <= _VALID_BYTES_MAX and _EPHEMERAL not in encoded:
        if len(_valid) >= _VALID_MAX:
            _valid.clear()
        _valid.add(encoded)
    return errors


def _spec_errors(spec: Spec, path: str, pod_name: str) -> list[FieldError]:
    errors: list[FieldError] = []
    volumes: dict[str, Mapping[str, Any]] = {}
    if "volumes" in spec:
        errors, volumes = volume_list_errors(spec["volumes"], f"{path}.volumes", pod_name)
    claims = spec.get("resourceClaims") or ()
    if claims:
        errors += _claim_errors(claims, f"{path}.resourceClaims")
    around = Surroundings(
        volumes,
        {claim.get("name", "") for claim in claims},
        spec.get("terminationGracePeriodSeconds", 0),
        spec.get("restartPolicy", ""),
        spec.get("hostUsers") is not False,
    )
    errors += container_list_errors(spec.get("containers") or (), f"{path}.containers", around)
    if "initContainers" in spec:
        errors += init_container_errors(spec, f"{path}.initContainers", around)
    if "ephemeralContainers" in spec:
        errors += ephemeral_container_errors(spec, f"{path}.ephemeralContainers", around)
    if "resources" in spec:
        errors += pod_resource_errors(spec, path)
    if spec.get("hostNetwork"):
        errors += _host_network_errors(spec, path)
    if spec.get("restartPolicy") not in _RESTART_POLICIES:
        policy = spec.get("restartPolicy")
        errors += choice_errors(policy, f"{path}.restartPolicy", _RESTART_POLICIES, is_set=False)
    if spec.get("dnsPolicy") not in _DNS_POLICIES:
        errors += choice_errors(spec.get("dnsPolicy"), f"{path}.dnsPolicy", _DNS_POLICIES, is_set=False)
    if "nodeSelector" in spec:
        errors += label_errors(spec["nodeSelector"], f"{path}.nodeSelector")
    errors += pod_context_errors(spec, path)
    errors += _placement_errors(spec, path)
    errors += host_user_errors(spec, path)
    return errors + _identity_errors(spec, path)


def _placement_errors(spec: Spec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if "affinity" in spec:
        errors += affinity_errors(spec["affinity"], f"{path}.affinity")
    if "dnsConfig" in spec or spec.get("dnsPolicy") == "None":
        errors += _dns_errors(spec.get("dnsConfig"), spec.get("dnsPolicy"), f"{path}.dnsConfig")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        where = f"{path}.readinessGates[{index}].conditionType"
        errors += name_errors(gate.get("conditionType", ""), where, names.qualified_name)
    if "schedulingGates" in spec:
        errors += gate_errors(spec["schedulingGates"], f"{path}.schedulingGates")
    if "topologySpreadConstraints" in spec:
        errors += spread_errors(spec["topologySpreadConstraints"], f"{path}.topologySpreadConstraints")
    return errors


_NAMES = (
    ("serviceAccountName", names.dns_subdomain),
    ("nodeName", names.dns_subdomain),
)
_HOST_NAMES = (("hostname", names.dns_label), ("subdomain", names.dns_label))


def _identity_errors(spec: Spec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, check in _NAMES:
        if spec.get(name):
            errors += name_errors(spec[name], f"{path}.{name}", check)
    if "activeDeadlineSeconds" in spec:
        errors += range_errors(spec["activeDeadlineSeconds"], f"{path}.activeDeadlineSeconds", 1, INT32_MAX)
    for name, check in _HOST_NAMES:
        if spec.get(name):
            errors += name_errors(spec[name], f"{path}.{name}", check)
    if "tolerations" in spec:
        errors += toleration_list_errors(spec["tolerations"], f"{path}.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        where = f"{path}.hostAliases[{index}]"
        errors += name_errors(alias.get("ip", ""), f"{where}.ip", names.ip_address)
        for hostname in alias.get("hostnames") or ():
            errors += name_errors(hostname, f"{where}.hostnames", names.dns_subdomain)
    for name in ("priorityClassName", "runtimeClassName"):
        if spec.get(name):
            errors += name_errors(spec[name], f"{path}.{name}", names.dns_subdomain)
    policy = spec.get("preemptionPolicy")
    errors += option_errors(policy, f"{path}.preemptionPolicy", ("PreemptLowerPriority", "Never"), is_set=False)
    if "overhead" in spec:
        errors += resource_errors({"limits": spec["overhead"]}, f"{path}.overhead", ())
    if "os" in spec:
        errors += _os_errors(spec, path)
    return errors


def _host_network_errors(spec: Spec, path: str) -> list[FieldError]:
    text = "must match `containerPort` when `hostNetwork` is true"
    return [
        invalid(f"{path}.{group}[{index}].ports[{position}].hostPort", port["hostPort"], text)
        for group in ("containers", "initContainers")
        for index, container in enumerate(spec.get(group) or ())
        for position, port in enumerate(container.get("ports") or ())
        if port.get("hostPort") and port["hostPort"] != port.get("containerPort")
    ]


def _claim_errors(claims: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        where, name = f"{path}[{index}]", claim.get("name")
        if not name:
            errors.append(required(f"{where}.name"))
        elif name in seen:
            errors.append(duplicate(f"{where}.name", name))
        else:
            errors += name_errors(name, f"{where}.name", names.dns_label)
            seen.add(name)
        said = [each for each in _CLAIM_SOURCES if each in claim]
        shown = internal(claim, "core.v1.PodResourceClaim", "name", *_CLAIM_SOURCES) if len(said) != 1 else None
        if len(said) > 1:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(invalid(where, shown, text))
        elif not said:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(invalid(where, shown, text))
        for each in said:
            errors += name_errors(claim[each], f"{where}.{each}", names.dns_subdomain)
    return errors


def _dns_errors(config: Mapping[str, Any] | None, policy: str | None, path: str) -> list[FieldError]:
    if policy == "None":
        if config is None:
            return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{path}.nameservers", text)]
    config = config or {}
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    errors: list[FieldError] = []
    if len(servers) > _NAMESERVERS_MAX:
        errors.append(
            invalid(f"{path}.nameservers", servers, f"must not have more than {_NAMESERVERS_MAX} nameservers")
        )
    for index, server in enumerate(servers):
        errors += name_errors(server, f"{path}.nameservers[{index}]", names.ip_address)
    if len(searches) > _SEARCHES_MAX:
        errors.append(invalid(f"{path}.searches", searches, f"must not have more than {_SEARCHES_MAX} search paths"))
    if len(" ".join(searches)) > _SEARCH_LENGTH_MAX:
        text = f"must not have more than {_SEARCH_LENGTH_MAX} characters (including spaces) in the search list"
        errors.append(invalid(f"{path}.searches", searches, text))
    for index, search in enumerate(searches):
        bare = search.removesuffix(".")
        if search != "." and not _is_search(bare):
            text = names.pattern_problem(_SEARCH_RULE, _SEARCH, "example.com")
            errors.append(invalid(f"{path}.searches[{index}]", bare, text))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))
    return errors


# What a pod for Windows has no use for.
_NOT_WINDOWS = ("hostPID", "hostIPC", "hostUsers", "shareProcessNamespace")
_NOT_WINDOWS_CONTEXT = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy",
)  # fmt: skip
_NOT_WINDOWS_CONTAINER = (
    "appArmorProfile", "capabilities", "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount",
    "runAsUser", "runAsGroup", "seLinuxOptions", "seccompProfile",
)  # fmt: skip


def _os_errors(spec: Spec, path: str) -> list[FieldError]:
    system = spec["os"].get("name")
    errors = choice_errors(system, f"{path}.os.name", ("linux", "windows"))
    if errors:
        return errors
    context, where = spec.get("securityContext") or {}, f"{path}.securityContext"
    contexts = [
        (container["securityContext"], f"{path}.{group}[{index}].securityContext")
        for group in ("initContainers", "containers", "ephemeralContainers")
        for index, container in enumerate(spec.get(group) or ())
        if container.get("securityContext")
    ]
    if system == "linux":
        text = "windows options cannot be set for a linux pod"
        return [
            forbidden(f"{place}.windowsOptions", text)
            for each, place in ((context, where), *contexts)
            if "windowsOptions" in each
        ]
    text = "cannot be set for a windows pod"
    errors = [forbidden(f"{where}.{name}", text) for name in _NOT_WINDOWS_CONTEXT if context.get(name) is not None]
    errors += [forbidden(f"{path}.{name}", text) for name in _NOT_WINDOWS if spec.get(name) is not None]
    for each, place in contexts:
        errors += [forbidden(f"{place}.{name}", text) for name in _NOT_WINDOWS_CONTAINER if each.get(name) is not None]
    return errors
