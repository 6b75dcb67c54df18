"""Changes, differences and the text of a transaction."""

from tiphys.network.rules import (
    Chain,
    Collection,
    DropCollection,
    DropElements,
    PutChain,
    PutCollection,
    PutElements,
    Ruleset,
    difference,
    transaction,
    whole,
)

PODS = Collection("pods", "ip daddr", "ip daddr . th dport")


def ruleset(*rules: str, **elements: str) -> Ruleset:
    return Ruleset.of([PutCollection(PODS), PutElements("pods", elements), PutChain(Chain("pick", rules))])


def test_the_same_state_makes_no_transaction():
    state = ruleset("accept", a="b")
    assert difference(state, ruleset("accept", a="b")) == []
    assert transaction("ip t", [PutElements("pods", {"a": "b"})], state) == ""


def test_a_changed_value_is_taken_out_and_put_in():
    text = transaction("ip t", [PutElements("pods", {"a": "c"})], ruleset(a="b"))
    assert text.split("\n") == ["delete element ip t pods { a }", "add element ip t pods { a : c }"]


def test_an_element_that_is_not_in_is_not_taken_out():
    assert transaction("ip t", [DropElements("pods", ("x",))], ruleset(a="b")) == ""


def test_other_rules_replace_those_of_a_chain():
    text = transaction("ip t", difference(ruleset("accept"), ruleset("drop")), ruleset("accept"))
    assert text.split("\n") == ["flush chain ip t pick", "add rule ip t pick drop"]


def test_what_is_gone_is_deleted_last():
    text = transaction("ip t", difference(ruleset("accept", a="b"), Ruleset()), ruleset("accept", a="b"))
    assert text.split("\n") == ["flush chain ip t pick", "delete chain ip t pick", "delete map ip t pods"]


def test_a_difference_leads_from_one_state_to_the_other():
    old, new = ruleset("accept", a="b", c="d"), ruleset("drop", c="e", f="g")
    for change in difference(old, new):
        old.perform(change)
    assert old == new


def test_the_whole_replaces_a_table_of_any_content():
    assert whole("ip t", Ruleset()).split("\n")[:3] == ["add table ip t", "delete table ip t", "add table ip t"]


def test_dropping_a_collection_forgets_its_elements():
    state = ruleset(a="b")
    state.perform(DropCollection("pods"))
    assert state.elements == {}
