"""
Tokens from a file, as kube-apiserver's --token-auth-file has them: `token,user,uid,"group1,group2"`, one a line.

Read once at start: whoever changes the file starts the server again.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path

from tiphys.apiserver.authn.groups import with_authenticated
from tiphys.wire.messages import Identity

COLUMNS_MIN = 3


def digest(token: str) -> bytes:
    """What a token is kept under: the token itself is kept nowhere."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def load(path: Path) -> Mapping[bytes, Identity]:
    """Identities by the digest of their token. ValueError names the line, never its content."""
    found: dict[bytes, Identity] = {}
    with path.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.reader(lines), 1):
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if len(cells) < COLUMNS_MIN or not cells[0] or not cells[1]:
                raise ValueError(f'{path}, line {number}: not token,user,uid,"group1,group2"')
            groups = [group.strip() for group in cells[3].split(",") if group.strip()] if len(cells) > 3 else []
            found[digest(cells[0])] = Identity(cells[1], with_authenticated(groups), cells[2])
    return found
