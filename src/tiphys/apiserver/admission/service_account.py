"""
ServiceAccount: every pod runs as an account, and finds that account's token where clients look for it.

The account gives its pull secrets to a pod that has none, and its token as a projected volume, mounted into every
container that has nothing else at that path.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from tiphys.api.references import ACCOUNTS, CLAIMS, CONFIG_MAPS, SECRETS, references_of
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, forbidden, on
from tiphys.apiserver.authn.accounts import WARN_AFTER_SECONDS
from tiphys.apiserver.call import Attributes, Object, Reader

MIRROR = "kubernetes.io/config.mirror"
ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
DEFAULT = "default"
# What Kubernetes generates names from: no vowels, so no words.
# Drawn once: a pod has one such volume, and pods of one template stay alike, so that what was found out about one of
# them (its validity, where it fits) holds for all.
_SUFFIX = "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
_CONTAINER_LISTS = ("initContainers", "containers")


def plugin(reader: Reader) -> Plugin:
    """Pods at creation, and ephemeral containers, which may not read Secrets that the account does not name."""

    def mutate(attributes: Attributes) -> None:
        pod = attributes.object
        if attributes.operation != CREATE or attributes.subresource or pod is None:
            return
        if is_mirror(pod):
            _check_mirror(attributes, pod)
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = _account(reader, attributes, name)
        if _mounts_token(account, spec):
            mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]

    def validate(attributes: Attributes) -> None:
        pod = attributes.object
        if pod is None or is_mirror(pod):
            return
        name = pod["spec"].get("serviceAccountName") or DEFAULT
        if attributes.subresource:
            account = reader.get("", "serviceaccounts", attributes.namespace, name)
        else:
            account = _account(reader, attributes, name)
        if account is not None and _enforces(account):
            _check_secrets(attributes, pod, account)

    concerns = on((CREATE, UPDATE), ("", "pods"), ("", "pods/ephemeralcontainers"))

    def concerned(operation: str, group: str, resource: str) -> bool:
        return concerns(operation, group, resource) and (operation == CREATE or "/" in resource)

    return Plugin("ServiceAccount", concerned, mutate, validate)


def is_mirror(pod: Mapping[str, Any]) -> bool:
    """A mirror pod shows what a node runs from its own files."""
    return MIRROR in (pod["metadata"].get("annotations") or {})


def _check_mirror(attributes: Attributes, pod: Object) -> None:
    if pod["spec"].get("serviceAccountName"):
        raise forbidden(attributes, "a mirror pod may not reference service accounts")
    named = {plural for plural, _ in references_of(pod)}
    for plural, word in ((SECRETS, "secrets"), (CONFIG_MAPS, "configmaps"), (CLAIMS, "persistentvolumeclaims")):
        if plural in named and plural != ACCOUNTS:
            raise forbidden(attributes, f"a mirror pod may not reference {word}")
    sources = [s for v in pod["spec"].get("volumes") or () for s in (v.get("projected") or {}).get("sources") or ()]
    if any(source.get("serviceAccountToken") for source in sources):
        raise forbidden(attributes, "a mirror pod may not use ServiceAccountToken volume projections")


def _account(reader: Reader, attributes: Attributes, name: str) -> Object:
    account = reader.get("", "serviceaccounts", attributes.namespace, name)
    if account is None:
        where = f"{attributes.namespace}/{name}"
        why = f'error looking up service account {where}: serviceaccount "{name}" not found'
        raise forbidden(attributes, why)
    return account


def _mounts_token(account: Object, spec: Object) -> bool:
    """The pod's own word counts more than its account's; said nowhere means yes."""
    for holder in (spec, account):
        said = holder.get("automountServiceAccountToken")
        if said is not None:
            return bool(said)
    return True


def mount_token(spec: Object) -> None:
    """Mount the token where clients look for it; the volume is added if any container needs it."""
    name = next((each["name"] for each in spec.get("volumes") or () if each["name"].startswith(VOLUME_PREFIX)), "")
    is_new = not name
    if is_new:
        name = VOLUME_PREFIX + _SUFFIX
    needed = False
    for kind in _CONTAINER_LISTS:
        for container in spec.get(kind) or ():
            mounts = container.get("volumeMounts") or []
            if not any(mount.get("mountPath") == TOKEN_PATH for mount in mounts):
                container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": TOKEN_PATH}]
                needed = True
    if is_new and needed:
        spec["volumes"] = [*(spec.get("volumes") or ()), {"name": name, "projected": token_projection()}]


def token_projection() -> Object:
    """The token, the authority that signed the server's certificate, and the namespace, as clients look for them."""
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": WARN_AFTER_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
        "defaultMode": 0o644,
    }


def _enforces(account: Object) -> bool:
    said = (account["metadata"].get("annotations") or {}).get(ENFORCE_MOUNTABLE, "")
    return said.lower() in ("1", "t", "true")


def _check_secrets(attributes: Attributes, pod: Object, account: Object) -> None:
    """Refuse Secrets that an account with the enforcing annotation does not name."""
    owner = account["metadata"]["name"]
    mountable = {each.get("name") for each in account.get("secrets") or ()}
    for name, what in _secrets_used(pod["spec"]):
        if name not in mountable:
            why = f'{what}secret.secretName="{name}" is not allowed because service account {owner} does not reference'
            raise forbidden(attributes, f"{why} that secret")
    pulls = {each.get("name") for each in account.get("imagePullSecrets") or ()}
    for index, each in enumerate(pod["spec"].get("imagePullSecrets") or ()):
        if each.get("name") not in pulls:
            why = f'imagePullSecrets[{index}].name="{each.get("name")}" is not allowed because service account'
            raise forbidden(attributes, f"{why} {owner} does not reference that imagePullSecret")


def _secrets_used(spec: Object) -> Iterator[tuple[str, str]]:
    """(name, the words before it in a refusal)."""
    for volume in spec.get("volumes") or ():
        if (volume.get("secret") or {}).get("secretName"):
            yield volume["secret"]["secretName"], "volume with "
    lists = (("initContainers", "init container"), ("containers", "container"))
    for kind, word in (*lists, ("ephemeralContainers", "ephemeral container")):
        for container in spec.get(kind) or ():
            for variable in container.get("env") or ():
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference:
                    yield reference["name"], f"{word} {container['name']} with envVar {variable['name']} referencing "
            for source in container.get("envFrom") or ():
                reference = source.get("secretRef")
                if reference:
                    yield reference["name"], f"{word} {container['name']} with envFrom referencing "
