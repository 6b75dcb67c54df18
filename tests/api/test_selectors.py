"""Selectors of labels, fields and nodes, with Kubernetes' grammar and texts."""

import pytest

from tiphys.api import selectors
from tiphys.api.selectors import SelectorError, from_label_selector, matches_node_selector_term, parse_labels

WEB = {"app": "web", "tier": "front", "size": "7"}


@pytest.mark.parametrize(
    "text",
    ["", "app", "!old", "app=web", "app==web", "app!=db", "old!=x", "app in (db,web)", "app notin (db)", "size>6"],
)
def test_a_selector_that_these_labels_meet(text):
    assert parse_labels(text).matches(WEB)


def test_all_requirements_must_hold_and_space_means_nothing():
    assert parse_labels("app=web,tier in (front, back) , !old").matches(WEB)
    assert not parse_labels("app=web,tier in (back)").matches(WEB)


@pytest.mark.parametrize(
    "text", ["old", "!app", "app=db", "app!=web", "app in ()", "app notin (web,db)", "size>7", "tier>1", "app=web,old"]
)
def test_a_selector_that_these_labels_do_not_meet(text):
    assert not parse_labels(text).matches(WEB)


def test_an_empty_place_in_a_set_is_the_empty_value():
    assert parse_labels("app in (,a)").matches({"app": ""})
    assert parse_labels("app=").matches({"app": ""})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a==!b", "unable to parse requirement: found '!', expected: identifier"),
    ],
)
def test_what_cannot_be_read_is_told_as_kubernetes_does(text, complaint):
    with pytest.raises(SelectorError) as caught:
        parse_labels(text)
    assert str(caught.value) == complaint


def test_a_bad_key_and_a_bad_number_are_named():
    with pytest.raises(SelectorError, match='<nil>: Invalid value: "-bad": name part must consist'):
        parse_labels("-bad")
    with pytest.raises(SelectorError, match=r"values.0.: Invalid value: \"x\": for 'Gt', 'Lt' operators"):
        parse_labels("a>x")


def test_no_selector_object_selects_nothing_and_an_empty_one_everything():
    assert not from_label_selector(None).matches(WEB)
    assert from_label_selector({}).matches({})


def test_all_parts_of_a_selector_object_must_hold():
    expressions = [{"key": "tier", "operator": "In", "values": ["front"]}, {"key": "old", "operator": "DoesNotExist"}]
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": expressions}
    assert from_label_selector(selector).matches(WEB)
    assert not from_label_selector(selector).matches({**WEB, "old": ""})
    with pytest.raises(SelectorError, match='"Near" is not a valid label selector operator'):
        from_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})


def test_fields_are_split_at_commas_and_operators_that_are_not_escaped():
    assert selectors.parse_fields(r"metadata.name=a\,b,status.phase!=Running,") == [
        ("metadata.name", True, "a,b"),
        ("status.phase", False, "Running"),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_a_field_selector_that_cannot_be_read(text, complaint):
    with pytest.raises(SelectorError) as caught:
        selectors.parse_fields(text)
    assert str(caught.value) == complaint


def test_a_node_term_asks_labels_and_name():
    zone = {"key": "zone", "operator": "NotIn", "values": ["b"]}
    name = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    term = {"matchExpressions": [zone], "matchFields": [name]}
    assert matches_node_selector_term(term, {"zone": "a"}, "n1")
    assert not matches_node_selector_term(term, {"zone": "b"}, "n1")
    assert not matches_node_selector_term(term, {"zone": "a"}, "n2")


def test_an_empty_node_term_matches_no_node():
    assert not matches_node_selector_term({}, {"zone": "a"}, "n1")


def test_a_node_term_compares_numbers():
    more = {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]}
    assert matches_node_selector_term(more, {"cores": "8"}, "n1")
    assert not matches_node_selector_term(more, {"cores": "four"}, "n1")
