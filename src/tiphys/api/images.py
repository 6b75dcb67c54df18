"""What the reference of an image says about itself, without asking any registry."""

from __future__ import annotations

import functools


@functools.lru_cache(maxsize=1024)
def default_pull_policy(reference: str) -> str:
    """`Always` for the tag `latest` and for no tag at all, else `IfNotPresent`: what is fixed stays the same."""
    name, _, digest = reference.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    is_latest = tag == "latest" or bool(name and not tag and not digest)
    return "Always" if is_latest else "IfNotPresent"
