"""A template is written down once, comes back under a new number, and is forgotten when there are too many."""

from builders import changed, statefulset, template
from tiphys.api.objects import labels_of, name_of
from tiphys.controllers.statefulset.identity import STATEFULSETS
from tiphys.reconcile import history
from tiphys.reconcile.commands import Create, Delete, Update

LABEL = "controller.kubernetes.io/hash"


def revisions(*images):
    """Of these templates, numbered from 1."""
    made = [history.record(statefulset(1, image=image), [], LABEL).revision for image in images]
    return [{**one, "revision": number} for number, one in enumerate(made, 1)]


def record(image, *known):
    return history.record(statefulset(1, image=image), known, LABEL)


def test_settled_means_no_commands():
    assert record("v2", *revisions("v1", "v2")).commands == []


def test_a_new_template_gets_the_next_number():
    recorded = record("v3", *revisions("v1", "v2"))
    assert isinstance(recorded.commands[0], Create) and recorded.revision["revision"] == 3


def test_a_template_that_comes_back_is_renumbered_and_not_written_twice():
    first, second = revisions("v1", "v2")
    recorded = record("v1", first, second)
    assert recorded.revision == first
    assert [(type(c), name_of(c.object), c.object["revision"]) for c in recorded.commands] == [
        (Update, name_of(first), 3)
    ]


def test_the_revision_holds_a_patch_that_puts_the_template_back():
    (revision,) = revisions("v1")
    assert revision["data"]["spec"]["template"]["$patch"] == "replace"
    assert history.template_of(revision) == template("v1")


def test_the_hash_is_in_the_name_and_in_the_label():
    (revision,) = revisions("v1")
    assert name_of(revision) == f"db-{labels_of(revision)[LABEL]}" and labels_of(revision)["app"] == "web"


def test_the_cause_of_a_change_is_kept_and_our_own_notes_are_not():
    owner = statefulset(1, annotations={"kubernetes.io/change-cause": "why", "tiphys.io/good-revision": "x"})
    revision = history.record(owner, [], LABEL).revision
    assert revision["metadata"]["annotations"] == {"kubernetes.io/change-cause": "why"}


def test_the_oldest_idle_ones_beyond_the_limit_go():
    owner = changed(statefulset(1), revisionHistoryLimit=1)
    known = revisions("v1", "v2", "v3", "v4")
    gone = history.surplus(owner, known, {name_of(known[0]), name_of(known[3])})
    assert [(type(c), c.key[1]) for c in gone] == [(Delete, name_of(known[1]))]


def test_a_name_taken_by_a_stranger_is_stepped_over():
    owner = statefulset(1)
    (stranger,) = revisions("v1")
    stranger = {**stranger, "metadata": {**stranger["metadata"], "ownerReferences": []}}
    (update,) = history.next_name(STATEFULSETS, owner, stranger)
    assert update.object["status"]["collisionCount"] == 1
    assert history.name_for(update.object) != name_of(stranger)


def test_a_name_taken_by_its_own_revision_is_no_collision():
    assert history.next_name(STATEFULSETS, statefulset(1), revisions("v1")[0]) == []
    assert history.next_name(STATEFULSETS, statefulset(1), None) == []
