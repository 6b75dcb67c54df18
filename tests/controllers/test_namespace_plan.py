"""A namespace that is deleted is emptied, says what it waits for, and goes."""

from tiphys.api import resources
from tiphys.controllers.namespace.plan import Remaining, plan
from tiphys.reconcile.commands import Delete, Update

CONFIG_MAPS = resources.get("", "v1", "configmaps")
NOW = 1_800_000_000.0


def namespace(*, deleting=True, **status):
    meta = {"name": "shop", **({"deletionTimestamp": "2027-01-15T08:00:00Z"} if deleting else {})}
    return {"metadata": meta, "spec": {"finalizers": ["kubernetes"]}, "status": status}


def told(commands):
    (update,) = [c for c in commands if isinstance(c, Update)]
    return {c["type"]: c for c in update.object["status"]["conditions"]}


def settled(left):
    """The namespace once its conditions tell about `left`."""
    (update,) = [c for c in plan(namespace(), left, NOW) if isinstance(c, Update)]
    return update.object


def test_a_namespace_that_stays_is_left_alone():
    assert plan(namespace(deleting=False), [Remaining(CONFIG_MAPS, "a", "u")], NOW) == []


def test_everything_in_it_is_deleted():
    commands = plan(namespace(), [Remaining(CONFIG_MAPS, "a", "u"), Remaining(CONFIG_MAPS, "b", "v", True)], NOW)
    assert [c.key for c in commands if isinstance(c, Delete)] == [("shop", "a")]


def test_it_says_what_blocks_it():
    left = [Remaining(CONFIG_MAPS, "a", "u", True, ("example.com/hold",))]
    conditions = told(plan(namespace(), left, NOW))
    assert conditions["NamespaceContentRemaining"]["message"].endswith("configmaps. has 1 resource instances")
    assert "example.com/hold in 1 resource instances" in conditions["NamespaceFinalizersRemaining"]["message"]


def test_it_waits_quietly_while_nothing_changes():
    left = [Remaining(CONFIG_MAPS, "a", "u", True, ("example.com/hold",))]
    assert plan(settled(left), left, NOW + 60) == []


def test_an_empty_one_is_let_go():
    (update,) = plan(settled([]), [], NOW)
    assert update.subresource == "finalize" and update.object["spec"]["finalizers"] == []
