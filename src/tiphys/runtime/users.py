"""
Who a container runs as: names of the image turned into numbers, read from its own /etc/passwd and /etc/group.

The files belong to the image's author: they are opened as if its root were ours (no link leads out), read up to a
limit, and lines that make no sense are skipped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tiphys.runtime import kernel
from tiphys.runtime.door import Security, StartFailed

FILE_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def resolve(root: Path, image_user: str, security: Security) -> User:
    """The numbers; StartFailed when the image names a user that it does not have, or must not run as root and would."""
    wanted, _, group = image_user.partition(":")
    if security.user is not None:
        # Who is chosen by number gets the group that the image gives that number, not the image's own group.
        wanted, group = str(security.user), ""
    name, uid, gid = _user(_lines(root, "/etc/passwd"), wanted or "0")
    groups = _lines(root, "/etc/group")
    if security.group is not None:
        gid = security.group
    elif group:
        gid = _group(groups, group)
    if security.run_as_non_root and uid == 0:
        raise StartFailed("container has runAsNonRoot and image will run as root")
    if security.strict_groups:
        name = ""
    memberships = [_int(line[2]) for line in groups if len(line) > 3 and name and name in line[3].split(",")]
    extra = dict.fromkeys([*security.supplemental_groups, *(g for g in memberships if g is not None)])
    return User(uid, gid, tuple(g for g in extra if g != gid))


def _user(lines: list[list[str]], wanted: str) -> tuple[str, int, int]:
    """(name, uid, gid); a number that the image does not know is itself, with group 0."""
    number = _int(wanted)
    for line in lines:
        uid, gid = (_int(line[2]), _int(line[3])) if len(line) > 3 else (None, None)
        if uid is not None and gid is not None and (line[0] == wanted or uid == number):
            return line[0], uid, gid
    if number is None:
        raise StartFailed(f"unable to find user {wanted}: no matching entries in passwd file")
    return "", number, 0


def _group(lines: list[list[str]], wanted: str) -> int:
    for line in lines:
        gid = _int(line[2]) if len(line) > 2 else None
        if gid is not None and line[0] == wanted:
            return gid
    number = _int(wanted)
    if number is None:
        raise StartFailed(f"unable to find group {wanted}: no matching entries in group file")
    return number


def _int(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 10 and int(text) < 2**32 - 1 else None


def _lines(root: Path, path: str) -> list[list[str]]:
    try:
        descriptor = kernel.open_in_root(root, path)
    except OSError:
        # No file, or something else in its place: the image knows nobody.
        return []
    with os.fdopen(descriptor, "rb") as handle:
        try:
            text = handle.read(FILE_BYTES_MAX).decode(errors="replace")
        except (OSError, TypeError):
            return []
    return [line.split(":") for line in text.splitlines()]
