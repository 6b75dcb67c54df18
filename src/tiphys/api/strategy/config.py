"""What ServiceAccounts lose, and what writers of Secrets are warned of. ConfigMaps are as they are sent."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from tiphys.api.strategy.strategies import Object, Strategy

_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def secret_warnings(new: Object, old: Object | None) -> list[str]:
    """A TLS pair that no server could load."""
    if new.get("type") != "kubernetes.io/tls":
        return []
    data: Mapping[str, str] = new.get("data") or {}
    for key, what in (("tls.crt", "certificate"), ("tls.key", "key")):
        if b"-----BEGIN " not in base64.b64decode(data.get(key) or ""):
            return [f"tls: failed to find any PEM data in {what} input"]
    return []


def keep_names_of_secrets(new: Object, old: Object | None = None) -> None:
    """Of the references to mountable Secrets only the names count."""
    if new.get("secrets"):
        new["secrets"] = [{"name": each["name"]} if each.get("name") else {} for each in new["secrets"]]


def service_account_warnings(new: Object, old: Object | None) -> list[str]:
    annotations = new["metadata"].get("annotations") or {}
    if _MOUNTABLE not in annotations:
        return []
    text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    return [f"metadata.annotations[{_MOUNTABLE}]: {text}"]


STRATEGIES = {
    ("", "secrets"): Strategy(warnings=secret_warnings, generation=False, has_status=False),
    ("", "serviceaccounts"): Strategy(
        create=keep_names_of_secrets,
        update=keep_names_of_secrets,
        warnings=service_account_warnings,
        generation=False,
        has_status=False,
    ),
}
