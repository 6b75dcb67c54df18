"""YAML as Kubernetes writes it."""

import pytest
import yaml

from tiphys.apiserver.yaml_writer import to_yaml


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("true", '"true"'),
        ("80", '"80"'),
        ("", '""'),
        ("a: b", "'a: b'"),
        ("one\n\ntwo", "|-\n  one\n\n  two"),
        (None, "null"),
        ({}, "{}"),
        ([], "[]"),
    ],
)
def test_values_are_quoted_as_kubernetes_does(value, text):
    assert to_yaml({"k": value}).decode() == f"k: {text}\n"


def test_keys_are_sorted_and_lists_not_indented():
    assert to_yaml({"b": [{"c": 1}], "a": "x"}) == b"a: x\nb:\n- c: 1\n"


def test_what_occurs_twice_is_written_twice():
    same = {"x": 1}
    assert to_yaml({"a": same, "b": [same]}) == b"a:\n  x: 1\nb:\n- x: 1\n"


def test_long_lines_are_folded_and_read_back_whole():
    message = "configmaps is forbidden: User " + "word " * 40
    text = to_yaml({"m": message})
    assert max(map(len, text.splitlines())) < 90 and yaml.safe_load(text) == {"m": message}
