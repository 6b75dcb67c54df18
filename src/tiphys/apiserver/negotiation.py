"""
Which representation an answer takes, from the Accept header.

Two stages, as in Kubernetes, because their refusals read differently: the bare media types first, then the `as=`
transformations. Headers repeat, so the outcome for a header is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.api import errors
from tiphys.api.remembered import remember_short

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
_SERVED = f"{JSON}, {YAML}, {PROTOBUF}"
_SHOWN_AS = frozenset(("Table", "PartialObjectMetadata", "PartialObjectMetadataList"))
_META_VERSIONS = frozenset(("v1", "v1beta1"))
_TRUE = frozenset(("1", "true"))
TABLE = "Table"


@dataclass(frozen=True, slots=True)
class Format:
    """`shown_as` is Table, PartialObjectMetadata, PartialObjectMetadataList or empty for the object itself."""

    media_type: str = JSON
    shown_as: str = ""
    version: str = ""
    pretty: bool = False

    @property
    def api_version(self) -> str:
        return f"meta.k8s.io/{self.version}"


@dataclass(frozen=True, slots=True)
class _Clause:
    media_type: str
    parameters: dict[str, str]
    quality: float


PLAIN = Format()


@remember_short(512)
def _parse(accept: str) -> tuple[_Clause, ...]:
    clauses = []
    for part in accept.split(","):
        media_type, *raw = [piece.strip() for piece in part.split(";")]
        parameters = dict(piece.partition("=")[::2] for piece in raw if piece)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        if media_type:
            clauses.append(_Clause(media_type.lower(), parameters, quality))
    return tuple(sorted(clauses, key=lambda clause: -clause.quality))


@remember_short(512)
def negotiate(accept: str) -> Format | None:
    """The format for an object, None if there is none (`refusal` says why)."""
    if not accept:
        return PLAIN
    for clause in _parse(accept):
        chosen = _choose(clause)
        if chosen is not None:
            return chosen
    return None


def _choose(clause: _Clause) -> Format | None:
    media_type = JSON if clause.media_type == "*/*" else clause.media_type
    if media_type not in (JSON, YAML):
        return None
    pretty = clause.parameters.get("pretty", "") in _TRUE
    shown_as = clause.parameters.get("as", "")
    if not shown_as:
        # The one PLAIN object, so that the common case is told apart by identity.
        return PLAIN if media_type == JSON and not pretty else Format(media_type, pretty=pretty)
    version = clause.parameters.get("v", "")
    if shown_as in _SHOWN_AS and clause.parameters.get("g") == "meta.k8s.io" and version in _META_VERSIONS:
        return Format(media_type, shown_as, version, pretty)
    return None


def refusal(accept: str) -> errors.StatusError:
    """406 for an Accept header that `negotiate` found nothing for."""
    bare = {clause.media_type for clause in _parse(accept)}
    if bare & {JSON, YAML, PROTOBUF, "*/*"}:
        return unsupported(_SERVED)
    return not_acceptable(_SERVED)


def unsupported(media_types: str = _SERVED) -> errors.StatusError:
    """406 by a handler that was chosen already."""
    return errors.failure(406, "NotAcceptable", f"only the following media types are accepted: {media_types}")


def not_acceptable(representations: str) -> errors.StatusError:
    """406 before any handler is chosen."""
    text = f"406: Not Acceptable\n\nAvailable representations: {representations}"
    return errors.failure(406, "NotAcceptable", text, details={})


def of_error(accept: str) -> Format:
    """A Status is YAML for those who asked for YAML, JSON for all others, and never a table."""
    for clause in _parse(accept) if accept else ():
        if clause.media_type in (JSON, YAML):
            return Format(clause.media_type)
    return PLAIN
