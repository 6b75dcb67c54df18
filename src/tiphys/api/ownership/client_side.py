"""
From client-side to server-side apply: what `kubectl apply` wrote into an annotation is no conflict for kubectl itself.

Client-side apply leaves the last configuration in an annotation and owns its fields as an Update. When kubectl (by that
manager's name) applies on the server, fields that are as that configuration left them are its own, and the annotation
is kept up to date, so that one may go back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tiphys.api.ownership import sets
from tiphys.api.ownership.applying import ApplyConflict, apply
from tiphys.api.ownership.comparing import Undeclared, compare, said_in
from tiphys.api.ownership.recording import Writer, untracked
from tiphys.api.schema.types import Message

Object = dict[str, Any]

KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def apply_after_client_side(
    live: Mapping[str, Any] | None, config: Object, message: Message, writer: Writer, *, force: bool = False
) -> Object:
    """`apply`, for objects that may have been applied on the client's side before."""
    if writer.name != KUBECTL or live is None:
        return apply(live, config, message, writer, force=force)
    try:
        result = apply(live, config, message, writer, force=force)
    except ApplyConflict as conflict:
        own = _as_left(live, message, writer)
        others = [(manager, path) for manager, path in conflict.conflicts if path not in own]
        if others:
            raise ApplyConflict(others) from None
        result = apply(live, config, message, writer, force=True)
    annotations = result["metadata"].get("annotations") or {}
    if LAST_APPLIED in annotations:
        result["metadata"] = {**result["metadata"], "annotations": {**annotations, LAST_APPLIED: _encoded(config)}}
    return result


def _as_left(live: Mapping[str, Any], message: Message, writer: Writer) -> frozenset[str]:
    """The paths of the last client-side configuration that are still as it left them."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return frozenset()
    if not isinstance(last, dict) or last.get("apiVersion") != writer.api_version:
        return frozenset()
    try:
        said = said_in(last, message)
    except Undeclared:
        return frozenset()
    changed, removed = compare(last, untracked(live), message)
    return frozenset(sets.members(sets.difference(sets.difference(said, changed), removed)))


def _encoded(config: Object) -> str:
    """The configuration as Go's encoder prints it, without the annotation itself."""
    metadata = dict(config.get("metadata") or {})
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:
        metadata["annotations"] = {name: text for name, text in annotations.items() if name != LAST_APPLIED}
    text = orjson.dumps({**config, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"
