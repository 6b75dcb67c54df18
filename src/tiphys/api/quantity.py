"""
Quantities: "500m", "1.5Gi", "2e3" as exact numbers, and back in Kubernetes' canonical form.

A quantity keeps the family of its suffix (decimal, binary, exponent); the canonical form has no fraction, and the
largest suffix with which that is possible. Grammar and error texts are those of Kubernetes.
"""

from __future__ import annotations

import functools
import math
import re
from fractions import Fraction

_SPLIT = re.compile(r"([+-]?)([0-9]*)(\.[0-9]*)?([eEinumkKMGTP]*[-+]?[0-9]*)")
_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_NUMERIC = "unable to parse numeric part of quantity"
_SUFFIX = "unable to parse quantity's suffix"

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_OF = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_BINARY_OF = {power: suffix for suffix, power in _BINARY.items()}
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)")

# Finer than this is rounded up (away from zero); a binary quantity larger than this is cut.
NANO = Fraction(1, 10**9)
MOST = (1 << 63) - 1
# More digits than any number in the range can mean; keeps a hostile exponent from making a huge integer.
EXPONENT_MAX = 64


class QuantityError(ValueError):
    """The text is no quantity; the message is Kubernetes'."""


@functools.lru_cache(maxsize=8192)
def _read(text: str) -> tuple[Fraction, str]:
    """The exact value, and the family of the suffix: "decimal", "binary" or "exponent"."""
    found = _SPLIT.fullmatch(text)
    if found is None or not text:
        raise QuantityError(_WRONG)
    sign, whole, fraction, suffix = found.groups()
    digits = (fraction or ".")[1:]
    if not whole and not digits:
        raise QuantityError(_WRONG if not suffix else _NUMERIC)
    factor, family = _factor(suffix)
    value = Fraction(int(whole + digits or "0"), 10 ** len(digits)) * factor
    value = Fraction(math.ceil(value / NANO)) * NANO
    if family == "binary":
        value = min(value, Fraction(MOST))
    return (-value if sign == "-" else value), family


def _factor(suffix: str) -> tuple[Fraction, str]:
    if suffix in _DECIMAL:
        return Fraction(10) ** _DECIMAL[suffix], "decimal"
    if suffix in _BINARY:
        return Fraction(1024) ** _BINARY[suffix], "binary"
    found = _EXPONENT.fullmatch(suffix)
    if found is None:
        raise QuantityError(_SUFFIX)
    exponent = max(-EXPONENT_MAX, min(int(found.group(1)), EXPONENT_MAX))
    return Fraction(10) ** exponent, "exponent"


def parse(text: str) -> Fraction:
    """The exact value. QuantityError if it is none."""
    return _read(text)[0]


def is_valid(text: str) -> bool:
    """Whether the text is a quantity."""
    try:
        _read(text)
    except QuantityError:
        return False
    return True


@functools.lru_cache(maxsize=8192)
def canonical(text: str) -> str:
    """The same quantity as Kubernetes writes it: `0.5` is `500m`, `1024Mi` is `1Gi`. QuantityError if it is none."""
    value, family = _read(text)
    return written(value, family)


def written(value: Fraction, family: str = "decimal") -> str:
    """A value in the canonical form of a family."""
    if not value:
        return "0"
    # What has a fraction or is small is shown in decimal: nothing may be lost.
    if family == "binary" and abs(value) >= 1024 and value.denominator == 1:
        return _in_binary(value.numerator)
    exponent = -9
    scaled = value / NANO
    while (exponent < 18 or family == "exponent") and scaled % 1000 == 0:
        scaled /= 1000
        exponent += 3
    suffix = _DECIMAL_OF[exponent] if family != "exponent" else f"e{exponent}" if exponent else ""
    return f"{_rounded_up(scaled)}{suffix}"


def _in_binary(whole: int) -> str:
    power = 0
    while power < 6 and whole % 1024 == 0:
        whole //= 1024
        power += 1
    return f"{whole}{_BINARY_OF[power] if power else ''}"


def _rounded_up(value: Fraction) -> int:
    """To a whole number, away from zero."""
    return -math.ceil(-value) if value < 0 else math.ceil(value)


@functools.lru_cache(maxsize=8192)
def value(text: str) -> int:
    """In whole units, rounded up; within 64 bits."""
    return _bounded(_rounded_up(_read(text)[0]))


@functools.lru_cache(maxsize=8192)
def milli(text: str) -> int:
    """In thousandths, rounded up; within 64 bits."""
    return _bounded(_rounded_up(_read(text)[0] * 1000))


def _bounded(number: int) -> int:
    return max(-MOST, min(number, MOST))


def compare(one: str, other: str) -> int:
    """-1, 0 or 1."""
    left, right = _read(one)[0], _read(other)[0]
    return (left > right) - (left < right)


def total(one: str, other: str) -> str:
    """The sum in the family of the first (of the second, where the first is zero)."""
    left, family = _read(one)
    right, other_family = _read(other)
    return written(left + right, family if left else other_family)
