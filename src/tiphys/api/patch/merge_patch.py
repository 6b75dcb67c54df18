"""JSON merge patch, RFC 7386: objects merge, null deletes, everything else replaces."""

from __future__ import annotations

from typing import Any


def apply(document: Any, patch: Any) -> Any:
    """The document after the patch. `document` is private to the caller and may be changed; `patch` is not."""
    if not isinstance(patch, dict):
        return patch
    result = document if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = apply(result.get(key), value)
        else:
            result[key] = value
    return result
