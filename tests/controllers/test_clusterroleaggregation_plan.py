"""Which rules an aggregated role gathers."""

from tiphys.controllers.clusterroleaggregation.plan import plan

PODS, SECRETS = ({"verbs": ["get"], "apiGroups": [""], "resources": [name]} for name in ("pods", "secrets"))


def role(name, *rules, labels=None):
    return {"metadata": {"name": name, "labels": labels or {}}, "rules": list(rules)}


def gathering(*rules):
    selector = {"matchLabels": {"to-view": "true"}}
    return role("view", *rules) | {"aggregationRule": {"clusterRoleSelectors": [selector]}}


def test_labelled_roles_give_their_rules_in_order_of_name():
    others = [role("b", SECRETS, PODS, labels={"to-view": "true"}), role("a", PODS, labels={"to-view": "true"})]
    (update,) = plan(gathering(), [*others, role("c", SECRETS)])
    assert update.object["rules"] == [PODS, SECRETS]


def test_settled_means_no_commands():
    assert plan(gathering(PODS), [gathering(PODS), role("a", PODS, labels={"to-view": "true"})]) == []


def test_a_role_that_is_unlabelled_takes_its_rules_away():
    (update,) = plan(gathering(PODS), [role("a", PODS)])
    assert update.object["rules"] == []


def test_plain_roles_are_left_alone():
    assert plan(role("a", PODS), []) == []
