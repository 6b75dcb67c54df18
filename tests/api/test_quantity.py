"""Quantities are exact, and printed in the one form that Kubernetes prints."""

from fractions import Fraction

import pytest

from tiphys.api import quantity


@pytest.mark.parametrize(
    ("said", "printed"),
    [
        ("0.5", "500m"),
        ("1000m", "1"),
        ("2000", "2k"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("100Ki", "100Ki"),
        ("0.5Ki", "512"),
        ("1e3", "1e3"),
        ("12E6", "12e6"),
        ("-1.5Gi", "-1536Mi"),
        ("+5", "5"),
        ("0Gi", "0"),
    ],
)
def test_a_quantity_is_printed_in_its_canonical_form(said, printed):
    assert quantity.canonical(said) == printed


def test_a_binary_quantity_that_is_no_whole_number_loses_nothing():
    assert quantity.canonical("0.1Gi") == "107374182400m"


def test_what_was_printed_is_printed_again():
    for text in ("500m", "1536Mi", "1e3", "107374182400m", "2k", "1n", "12e6"):
        assert quantity.canonical(text) == text


def test_less_than_a_nano_unit_becomes_one():
    assert quantity.canonical("0.1n") == "1n"
    assert quantity.parse("0.0000000001") == Fraction(1, 10**9)


@pytest.mark.parametrize("text", ["", "abc", "1x", "1.5.5", "1 ", "1Gi2Gi"])
def test_a_text_of_another_shape_is_refused_with_the_expression(text):
    with pytest.raises(quantity.QuantityError, match="must match the regular expression"):
        quantity.parse(text)


@pytest.mark.parametrize("text", ["1kk", "1e", "1GiB"[:-1] + "i"])
def test_an_unknown_suffix_is_named_as_the_trouble(text):
    with pytest.raises(quantity.QuantityError, match="unable to parse quantity's suffix"):
        quantity.canonical(text)


def test_parts_are_rounded_up():
    assert (quantity.milli("100u"), quantity.milli("1.0001"), quantity.value("0.1"), quantity.value("1.5Ki")) == (
        1,
        1001,
        1,
        1536,
    )


def test_a_hostile_exponent_costs_nothing():
    assert quantity.value("1e1000000000") == (1 << 63) - 1
    assert quantity.value("1e-1000000000") == 1


def test_sums_and_comparisons():
    assert quantity.total("500m", "1") == "1500m"
    assert quantity.total("0", "1Gi") == "1Gi"
    assert (quantity.compare("1000m", "1"), quantity.compare("1", "2"), quantity.compare("1Gi", "1G")) == (0, -1, 1)
