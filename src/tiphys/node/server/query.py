"""The query parameters of the node's routes."""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.api import errors
from tiphys.api.objects import parse_timestamp
from tiphys.node.log_lines import LogOptions

Query = dict[str, list[str]]
TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
STREAMS = {"": "", "All": "", "Stdout": "stdout", "Stderr": "stderr"}
PORTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """The streams that the client of an exec or attach will open."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


def wanted_streams(query: Query) -> Wanted:
    tty = _flag(query, "tty")
    # A terminal has one output.
    wanted = Wanted(_flag(query, "input"), _flag(query, "output"), _flag(query, "error") and not tty, tty)
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise errors.bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return wanted


def log_options(query: Query, now: float) -> LogOptions:
    stream = _first(query, "stream")
    if stream not in STREAMS:
        raise errors.bad_request(f"unknown stream {stream!r}: it is All, Stdout or Stderr")
    since = 0.0
    if _first(query, "sinceSeconds"):
        since = now - _number(query, "sinceSeconds")
    elif _first(query, "sinceTime"):
        since = _time(_first(query, "sinceTime"))
    return LogOptions(
        follow=_flag(query, "follow"),
        previous=_flag(query, "previous"),
        timestamps=_flag(query, "timestamps"),
        since=since,
        tail=_number(query, "tailLines"),
        limit_bytes=_number(query, "limitBytes"),
        stream=STREAMS[stream],
    )


def forwarded_ports(query: Query) -> list[int]:
    """`port=80&port=443`, or with commas."""
    words = [word for value in query.get("port", ()) for word in value.split(",")]
    if len(words) > PORTS_MAX:
        raise errors.bad_request(f"at most {PORTS_MAX} ports can be forwarded over one connection")
    return [port_number(word) for word in words]


def port_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise errors.bad_request(f"{text[:20]!r} is not a port")
    return int(text)


def _first(query: Query, name: str) -> str:
    return next(iter(query.get(name, ())), "")


def is_set(query: Query, name: str) -> bool:
    """Whether a parameter says yes."""
    return _flag(query, name)


def _flag(query: Query, name: str) -> bool:
    return _first(query, name) in TRUE


def _number(query: Query, name: str) -> int:
    """-1 where it is not given."""
    text = _first(query, name)
    if not text:
        return -1
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise errors.bad_request(f"{name} must be a number that is not negative")
    return int(text)


def _time(text: str) -> float:
    try:
        return parse_timestamp(text)
    except ValueError:
        raise errors.bad_request("sinceTime must be an RFC 3339 time") from None
