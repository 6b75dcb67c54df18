"""What goes with its owners, what waits for its dependents, what is set free."""

from tiphys.api import resources
from tiphys.controllers.garbage.graph import Graph, Item
from tiphys.controllers.garbage.plan import Owned, plan
from tiphys.reconcile.commands import Delete, Patch

PODS = resources.get("", "v1", "pods")


def owner(uid, *, blocks=False):
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": uid, "uid": uid, "blockOwnerDeletion": blocks}


def item(uid, *owners, deleting=False, finalizers=()):
    return Item(PODS, ("shop", uid), uid, "1", owners, deleting, finalizers)


def test_an_object_goes_with_its_last_owner():
    (command,) = plan(item("p", owner("a")), {"a": Owned.GONE}, [])
    assert command == Delete(PODS, ("shop", "p"), "p", propagation="Background")


def test_an_object_stays_while_an_owner_lives_and_forgets_the_others():
    (command,) = plan(item("p", owner("a"), owner("b")), {"a": Owned.GONE, "b": Owned.LIVES}, [])
    assert isinstance(command, Patch)
    assert command.patch["metadata"]["ownerReferences"] == [{"$patch": "delete", "uid": "a"}]


def test_living_owners_mean_no_commands():
    assert plan(item("p", owner("a")), {"a": Owned.LIVES}, []) == []


def test_a_foreground_deletion_waits_for_what_blocks_it():
    waiting = item("d", deleting=True, finalizers=("foregroundDeletion",))
    assert plan(waiting, {}, [item("p", owner("d", blocks=True))]) == []
    (released,) = plan(waiting, {}, [item("p", owner("d"))])
    assert released.patch["metadata"]["finalizers"] is None


def test_an_orphaning_deletion_frees_the_dependents_first():
    going = item("d", deleting=True, finalizers=("orphan",))
    freed, released = plan(going, {}, [item("p", owner("d"))])
    assert freed.key == ("shop", "p") and released.key == ("shop", "d")


def test_below_a_waiting_owner_deletion_goes_on_in_the_foreground():
    dependent = item("r", owner("d", blocks=True))
    (command,) = plan(dependent, {"d": Owned.WAITS}, [item("p", owner("r"))])
    assert command.propagation == "Foreground"


def test_the_graph_knows_dependents_of_owners_that_never_were():
    graph = Graph()
    graph.put(item("p", owner("ghost")))
    assert [each.uid for each in graph.dependents("ghost")] == ["p"]
    graph.put(item("p"))
    assert graph.dependents("ghost") == []
