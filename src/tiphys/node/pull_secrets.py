"""Registry credentials from image pull secrets (`.dockerconfigjson` and the older `.dockercfg`). Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import orjson

from tiphys.runtime.door import Credentials

DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


def credentials_for(image: str, secrets: Iterable[Mapping[str, Any]]) -> list[Credentials]:
    """Those that apply to the image's registry, the most specific path first."""
    found: list[tuple[int, Credentials]] = []
    for secret in secrets:
        for where, entry in _entries(secret).items():
            if _covers(where, image):
                credentials = _credentials(entry)
                if credentials is not None:
                    found.append((len(where), credentials))
    found.sort(key=lambda item: -item[0])
    return list(dict.fromkeys(credentials for _, credentials in found))


def _entries(secret: Mapping[str, Any]) -> Mapping[str, Any]:
    """A secret that cannot be read gives none, as in Kubernetes: the pull itself tells what is wrong."""
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            parsed = orjson.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths")
        else:
            parsed = orjson.loads(base64.b64decode(data.get(".dockercfg", "e30=")))
    except (ValueError, AttributeError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _credentials(entry: Any) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    if entry.get("auth"):
        try:
            name, colon, password = base64.b64decode(entry["auth"]).decode().strip("\0").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return Credentials(name, password) if colon else None
    if entry.get("username"):
        return Credentials(entry["username"], entry.get("password") or "")
    return None


def split(image: str) -> tuple[str, str]:
    """(registry, path) of an image name as Docker completes it."""
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return ("docker.io" if first in DOCKER_HUB else first), rest
    return "docker.io", image if slash else f"library/{image}"


def _covers(where: str, image: str) -> bool:
    """`where` is a host with optional port, path and wildcards: `*.example.com/team`."""
    host, _, path = where.removeprefix("https://").removeprefix("http://").strip("/").partition("/")
    registry, image_path = split(image)
    if host in DOCKER_HUB:
        # The key "https://index.docker.io/v1/" names an API version, not a path of images.
        return registry == "docker.io" and (path in ("", "v1", "v2") or _is_below(image_path, path))
    own_host, _, own_port = registry.partition(":")
    wanted_host, _, wanted_port = host.partition(":")
    parts, wanted = own_host.split("."), wanted_host.split(".")
    same = len(parts) == len(wanted) and all(fnmatchcase(a, b) for a, b in zip(parts, wanted, strict=True))
    return same and own_port == wanted_port and (path in ("", "v1", "v2") or _is_below(image_path, path))


def _is_below(image_path: str, path: str) -> bool:
    return image_path.startswith(path)
