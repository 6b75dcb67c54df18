"""
Decide what becomes of a Secret that holds a service account's token and is not used. Pure.

Only Secrets that an account lists are looked at: nothing of this cluster makes such Secrets, but an older one did, and
what was taken over from there is a key that nobody watches. A year without use makes the token invalid, another year
removes it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, key_of, labels_of, name_of, parse_timestamp, uid_of
from tiphys.reconcile.commands import Command, Delete, Patch, Requeue

Object = dict[str, Any]

SECRETS = resources.get("", "v1", "secrets")
LAST_USED, INVALID_SINCE = "kubernetes.io/legacy-token-last-used", "kubernetes.io/legacy-token-invalid-since"
YEAR_SECONDS = 365 * 86_400.0


def plan(secret: Object, account: Object | None, pods: Iterable[Object], now: float) -> list[Command]:
    """`pods` are those of its namespace."""
    if account is None or is_deleting(secret) or not _is_listed(account, name_of(secret)):
        return []
    invalid = _date(labels_of(secret).get(INVALID_SINCE, ""))
    since = invalid if invalid is not None else _last_used(secret)
    left = since + YEAR_SECONDS - now
    if left > 0:
        return [Requeue(left)]
    if any(name_of(secret) in secret_names(pod["spec"]) for pod in pods):
        return []
    if invalid is None:
        return [mark(secret, INVALID_SINCE, now), Requeue(YEAR_SECONDS)]
    return [Delete(SECRETS, key_of(secret), uid_of(secret))]


def mark(secret: Object, label: str, now: float) -> Patch:
    """Write today's date on it."""
    meta = {"uid": uid_of(secret), "labels": {label: today(now)}}
    return Patch(SECRETS, key_of(secret), {"metadata": meta})


def today(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%d")


def secret_names(spec: Any) -> Iterator[str]:
    """The Secrets that a pod's spec names: volumes, variables, and what images are pulled with."""
    if isinstance(spec, list):
        for each in spec:
            yield from secret_names(each)
    elif isinstance(spec, Mapping):
        for field, value in spec.items():
            if field == "secretName":
                yield value
            elif field in ("secret", "secretRef", "secretKeyRef", "imagePullSecrets"):
                for each in value if isinstance(value, list) else [value]:
                    yield from (each[key] for key in ("name", "secretName") if key in each)
            else:
                yield from secret_names(value)


def _is_listed(account: Object, name: str) -> bool:
    return any(reference.get("name") == name for reference in account.get("secrets") or ())


def _last_used(secret: Object) -> float:
    used = _date(labels_of(secret).get(LAST_USED, ""))
    return max(used or 0.0, parse_timestamp(secret["metadata"]["creationTimestamp"]))


def _date(text: str) -> float | None:
    """Midnight of a date; None for what is none."""
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        return None
