"""Decide what a Secret that holds a service account's token needs. Pure, but for the signature, which is handed in."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, is_deleting, key_of, name_of, namespace_of, uid_of
from tiphys.reconcile.commands import Command, Delete, Update

Object = dict[str, Any]
# (account, name of the Secret) → token.
Sign = Callable[[Object, str], str]

SECRETS = resources.get("", "v1", "secrets")
SERVICE_ACCOUNTS = resources.get("", "v1", "serviceaccounts")
TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME, ACCOUNT_UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"


def plan(secret: Object, account: Object | None, bundle: str, sign: Sign) -> list[Command]:
    """
    Fill in what is missing; `bundle` is the PEM of the authorities that clients shall trust.

    A Secret of an account that is gone, or that has come again as another one, is removed.
    """
    if is_deleting(secret):
        return []
    if account is None or annotations_of(secret).get(ACCOUNT_UID, uid_of(account)) != uid_of(account):
        return [Delete(SECRETS, key_of(secret), uid_of(secret))]
    held = secret.get("data") or {}
    data = {**held, "ca.crt": _encoded(bundle)}
    data.setdefault("namespace", _encoded(namespace_of(secret)))
    if not held.get("token"):
        data["token"] = _encoded(sign(account, name_of(secret)))
    annotations = {**annotations_of(secret), ACCOUNT_UID: uid_of(account)}
    if data == held and annotations == annotations_of(secret):
        return []
    return [Update(SECRETS, {**secret, "metadata": {**secret["metadata"], "annotations": annotations}, "data": data})]


def plan_forgotten(account: Object, secret_name: str) -> list[Command]:
    """An account names no token Secret that is gone."""
    named = account.get("secrets") or ()
    kept = [reference for reference in named if reference.get("name") != secret_name]
    return [Update(SERVICE_ACCOUNTS, {**account, "secrets": kept})] if len(kept) < len(named) else []


def account_key(secret: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, name) of the account whose token it holds."""
    return namespace_of(secret), annotations_of(secret).get(ACCOUNT_NAME, "")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
