"""Pods from templates: what every controller that makes pods copies, and what tells its pods apart later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from tiphys.reconcile.ownership import owner_reference

Object = dict[str, Any]

NAME_MAX = 253
SUFFIX_LENGTH = 5
HASH_LENGTH = 10
# On the ReplicaSets of a Deployment and their pods.
HASH_LABEL = "pod-template-hash"
# No vowels and no look-alikes: a hash never spells a word.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def pod_from(template: Mapping[str, Any], owner: Mapping[str, Any]) -> Object:
    """A pod with the template's metadata and spec that `owner` controls; its name begins with the owner's."""
    meta, template_meta = owner["metadata"], template.get("metadata") or {}
    pod_meta: Object = {
        "generateName": f"{meta['name'][: NAME_MAX - SUFFIX_LENGTH - 1]}-",
        "namespace": meta["namespace"],
        "ownerReferences": [owner_reference(owner)],
    }
    for part in ("labels", "annotations", "finalizers"):
        if template_meta.get(part):
            pod_meta[part] = template_meta[part]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": template["spec"]}


def hash_of(content: Any, collisions: int) -> str:
    """Ten letters that name a template; `collisions` moves on to the next name."""
    data = orjson.dumps(content, option=orjson.OPT_SORT_KEYS) + str(collisions or "").encode()
    number = int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
    letters = []
    for _ in range(HASH_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def without_hash(template: Mapping[str, Any]) -> Object:
    """The template as the user wrote it."""
    meta = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH_LABEL}
    meta.pop("labels", None)
    if labels:
        meta["labels"] = labels
    meta.pop("creationTimestamp", None)
    return {"metadata": meta, "spec": template["spec"]}


def same_template(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return without_hash(one) == without_hash(other)
