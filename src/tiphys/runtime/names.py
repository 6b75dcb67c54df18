"""
Image references, written out in full: `nginx` is `docker.io/library/nginx:latest`.

Pure. The grammar is that of the distribution project: an optional registry, a path in lower case, a tag, a digest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tiphys.runtime.door import InvalidImageName

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])"
_REFERENCE = re.compile(
    rf"(?:(?P<registry>{_HOST}(?::[0-9]+)?)/)?(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_IMAGE_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
NAME_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class Name:
    """`tag` is "" only when there is a digest."""

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.registry}/{self.path}"

    @property
    def pullable(self) -> str:
        """A digest says more than a tag, and skopeo takes one of both."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse(reference: str) -> Name:
    """The full name of what was written; InvalidImageName when it is none."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise InvalidImageName(_complaint(reference))
    registry, path = match["registry"] or "", match["path"]
    if registry and not _is_registry(registry):
        if registry != registry.lower():
            raise InvalidImageName(_complaint(reference))
        registry, path = "", f"{registry}/{path}"
    registry = registry or "docker.io"
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = "docker.io"
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"
    if len(registry) + len(path) + 1 > NAME_LENGTH_MAX:
        raise InvalidImageName(f'couldn\'t parse image name "{reference}": repository name must not be over 255 long')
    digest = match["digest"] or ""
    return Name(registry, path, match["tag"] or ("" if digest else "latest"), digest)


def image_id(reference: str) -> str:
    """The 64 digits when the reference is an image's id, "" when it is a name."""
    match = _IMAGE_ID.fullmatch(reference)
    return match[1] if match else ""


def _is_registry(first: str) -> bool:
    """`localhost/app` and `host.example/app` and `host:5000/app` name a registry; `team/app` does not."""
    return "." in first or ":" in first or first == "localhost"


def _complaint(reference: str) -> str:
    if reference != reference.lower() and _REFERENCE.fullmatch(reference.lower()):
        return f'couldn\'t parse image name "{reference}": invalid reference format: repository name must be lowercase'
    return f'couldn\'t parse image name "{reference}": invalid reference format'
