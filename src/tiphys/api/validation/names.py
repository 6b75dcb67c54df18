"""
The formats of names, and what is wrong with a text that is none, in Kubernetes' words.

Every function gives a list of problems, empty when all is well. Answers are remembered: the same names come again and
again.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Sequence

from tiphys.api.remembered import remember_short

LABEL_LENGTH_MAX, SUBDOMAIN_LENGTH_MAX = 63, 253

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"
_is_label = re.compile(_LABEL).fullmatch
_is_subdomain = re.compile(_SUBDOMAIN).fullmatch
_is_label_1035 = re.compile(_LABEL_1035).fullmatch
_is_qualified = re.compile(_QUALIFIED).fullmatch
_is_label_value = re.compile(_LABEL_VALUE).fullmatch
_is_config_key = re.compile(_CONFIG_KEY).fullmatch
_is_header = re.compile(_HEADER).fullmatch
_is_variable = re.compile(r"[ -<>-~]+").fullmatch
_is_port_name = re.compile("[-a-z0-9]+").fullmatch

_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character"
)
_LABEL_1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_QUALIFIED_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)
_WILDCARD_RULE = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_VARIABLE_RULE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_IP_RULE = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR_RULE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
EMPTY = "must be non-empty"

Problems = Sequence[str]


def _remembered(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """The same check with a memory of its latest answers; callers get a list of their own."""

    @remember_short(4096)
    def remembered(value: str) -> tuple[str, ...]:
        return tuple(check(value))

    @functools.wraps(check)
    def answer(value: str) -> list[str]:
        return list(remembered(value))

    return answer


def too_long(maximum: int, unit: str = "characters") -> str:
    """Label keys and values are counted in `bytes`, all else in `characters`."""
    return f"must be no more than {maximum} {unit}"


def between(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def pattern_problem(rule: str, pattern: str, *examples: str) -> str:
    """A broken rule with examples and its regular expression."""
    if not examples:
        return f"{rule} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{each}', " for each in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{pattern}')"


@_remembered
def dns_label(value: str) -> list[str]:
    """What keeps a text from being a DNS label (RFC 1123)."""
    found = [too_long(LABEL_LENGTH_MAX)] if len(value) > LABEL_LENGTH_MAX else []
    if not _is_label(value):
        dots = "must not contain dots"
        found.append(dots if _is_subdomain(value) else pattern_problem(_LABEL_RULE, _LABEL, "my-name", "123-abc"))
    return found


@_remembered
def dns_label_1035(value: str) -> list[str]:
    """What keeps a text from being a DNS label that starts with a letter (RFC 1035)."""
    found = [too_long(LABEL_LENGTH_MAX)] if len(value) > LABEL_LENGTH_MAX else []
    if not _is_label_1035(value):
        found.append(pattern_problem(_LABEL_1035_RULE, _LABEL_1035, "my-name", "abc-123"))
    return found


@_remembered
def dns_subdomain(value: str) -> list[str]:
    """What keeps a text from being a DNS subdomain (RFC 1123)."""
    found = [too_long(SUBDOMAIN_LENGTH_MAX)] if len(value) > SUBDOMAIN_LENGTH_MAX else []
    if not _is_subdomain(value):
        found.append(pattern_problem(_SUBDOMAIN_RULE, _SUBDOMAIN, "example.com"))
    return found


@_remembered
def qualified_name(value: str) -> list[str]:
    """What keeps a text from being a qualified name: a label key, a resource, a condition type."""
    prefix, slash, name = value.rpartition("/")
    rule = pattern_problem(_QUALIFIED_RULE, _QUALIFIED, "MyName", "my.name", "123-abc")
    if "/" in prefix:
        return [f"a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    found = []
    if slash:
        found = [f"prefix part {each}" for each in (dns_subdomain(prefix) if prefix else [EMPTY])]
    if not name:
        found.append(f"name part {EMPTY}")
    elif len(name) > LABEL_LENGTH_MAX:
        found.append(f"name part {too_long(LABEL_LENGTH_MAX, 'bytes')}")
    if not _is_qualified(name):
        found.append(f"name part {rule}")
    return found


@_remembered
def label_value(value: str) -> list[str]:
    """What keeps a text from being the value of a label."""
    found = [too_long(LABEL_LENGTH_MAX, "bytes")] if len(value) > LABEL_LENGTH_MAX else []
    if not _is_label_value(value):
        found.append(pattern_problem(_LABEL_VALUE_RULE, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return found


@_remembered
def config_key(value: str) -> list[str]:
    """What keeps a text from being a key of a ConfigMap or Secret."""
    found = [too_long(SUBDOMAIN_LENGTH_MAX)] if len(value) > SUBDOMAIN_LENGTH_MAX else []
    if not _is_config_key(value):
        rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        found.append(pattern_problem(rule, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        found.append(f"must not be '{value}'")
    elif value.startswith(".."):
        found.append("must not start with '..'")
    return found


def path_segment(value: str) -> list[str]:
    """What keeps a name from standing in a URL: all that RBAC kinds ask."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{each}'" for each in "/%" if each in value]


def wildcard_subdomain(value: str) -> list[str]:
    """What keeps a text from being `*.example.com`."""
    found = [too_long(SUBDOMAIN_LENGTH_MAX)] if len(value) > SUBDOMAIN_LENGTH_MAX else []
    if not value.startswith("*.") or not _is_subdomain(value[2:]):
        found.append(pattern_problem(_WILDCARD_RULE, rf"\*\.{_SUBDOMAIN}", "*.example.com"))
    return found


def variable_name(value: str) -> list[str]:
    """What keeps a text from being the name of an environment variable."""
    return [] if _is_variable(value) else [_VARIABLE_RULE]


def header_name(value: str) -> list[str]:
    """What keeps a text from being the name of an HTTP header."""
    rule = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [] if _is_header(value) else [pattern_problem(rule, _HEADER, "X-Header-Name")]


def port_name(value: str) -> list[str]:
    """What keeps a text from being an IANA service name, as ports have."""
    found = [too_long(15)] if len(value) > 15 else []
    if not _is_port_name(value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def port_number(value: int) -> list[str]:
    return [] if 0 < value < 65536 else [between(1, 65535)]


def ip_address(value: str) -> list[str]:
    """What keeps a text from being an IP address."""
    return [] if parsed_ip(value) is not None else [_IP_RULE]


def cidr(value: str) -> list[str]:
    """What keeps a text from being an address with the length of its prefix."""
    return [] if parsed_cidr(value) is not None else [_CIDR_RULE]


def parsed_ip(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, or None. Leading zeroes are let pass, as they once were in Go; a zone is not."""
    try:
        return ipaddress.ip_address(_without_leading_zeroes(value)) if "%" not in value else None
    except ValueError:
        return None


def parsed_cidr(value: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    """The address with its network, or None."""
    address, _, length = value.partition("/")
    if not length.isascii() or not length.isdigit():
        return None
    try:
        return ipaddress.ip_interface(f"{_without_leading_zeroes(address)}/{length}")
    except ValueError:
        return None


def _without_leading_zeroes(address: str) -> str:
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts):
        return address
    return ".".join(str(int(part)) for part in parts)


def generated(value: str) -> str:
    """A prefix of generated names as it may be checked: a hyphen at the end is followed by something."""
    return value[:-1] + "a" if len(value) > 1 and value.endswith("-") else value
