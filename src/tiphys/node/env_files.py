"""
Variables out of a file that an earlier container of the pod has written to an emptyDir (`fileKeyRef`).

The file is in a strict part of a shell's syntax: `NAME='value'`, where the quotes are needed, nothing in them is
special and they may span lines; empty lines and `#` comments. What it says of another name than the one asked for must
be right, too. Who wrote the file is the pod's: it is opened beneath its volume and read up to a limit.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tiphys.node.environment import ConfigError
from tiphys.node.volumes import subpath

# As much as an environment of a container could hold.
FILE_BYTES_MAX = 1 << 20

Key = tuple[str, str]

_SKIPPED = re.compile(r"(?:[^\S\n]*(?:#[^\n]*)?\n)+|[^\S\n]*(?:#[^\n]*)?\Z")
_ASSIGNED = re.compile(r"[^\S\n]*(?P<name>[^\s='#]+)=(?:'(?P<value>[^']*)'|(?=\s|\Z))[^\S\n]*(?P<rest>[^\n]*)(?:\n|\Z)")


def wanted(container: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The references of a container to files, if any."""
    sources = (entry.get("valueFrom") or {} for entry in container.get("env") or ())
    return [source["fileKeyRef"] for source in sources if source.get("fileKeyRef")]


def lookup(container: Mapping[str, Any], mounts: Mapping[str, str]) -> Callable[[Mapping[str, Any]], str | None]:
    """What answers the references of a container: its files are read now. ConfigError for one that cannot be."""
    texts: dict[Key, str | None] = {}
    for ref in wanted(container):
        key = (ref["volumeName"], ref["path"])
        if key not in texts:
            root = mounts.get(ref["volumeName"])
            texts[key] = _text(Path(root), ref["path"]) if root is not None else None

    def answer(ref: Mapping[str, Any]) -> str | None:
        text = texts[ref["volumeName"], ref["path"]]
        return value_of(text, ref["key"], ref["path"]) if text is not None else None

    return answer


def _text(root: Path, path: str) -> str | None:
    base = os.open(root, os.O_PATH | os.O_CLOEXEC)
    try:
        descriptor = subpath.open_beneath(base, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise ConfigError(f'failed to open the environment file "{path}": {error.strerror}') from error
    finally:
        os.close(base)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ConfigError(f'the environment file "{path}" is not a file')
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f'the environment file "{path}" is larger than {FILE_BYTES_MAX} bytes')
    return content.decode("utf-8", "replace")


def value_of(text: str, name: str, path: str) -> str | None:
    """What a file says of a name, the last word if it says several; None if nothing. ConfigError for a bad file."""
    found = None
    for known, value in _assignments(text, path):
        if known == name:
            found = value
    return found


def _assignments(text: str, path: str) -> Iterator[tuple[str, str]]:
    position = 0
    while True:
        skipped = _SKIPPED.match(text, position)
        position = skipped.end() if skipped else position
        if position >= len(text):
            return
        match = _ASSIGNED.match(text, position)
        is_quoted = match is not None and match["value"] is not None
        if match is None or (is_quoted and match["rest"] and not match["rest"].startswith("#")):
            line = text.count("\n", 0, position) + 1
            text_of = f"invalid environment variable format at line {line}: values must be enclosed in single quotes"
            raise ConfigError(f'failed to parse the environment file "{path}": {text_of}')
        yield match["name"], match["value"] or ""
        position = match.end()
