"""RFC 6902 with Kubernetes' liberties."""

import pytest

from tiphys.api.patch import json_patch
from tiphys.api.patch.json_patch import PatchError


def apply(document, *operations):
    return json_patch.apply(document, [dict(zip(("op", "path", "value"), each, strict=False)) for each in operations])


def test_operations_run_in_order():
    patched = apply({"a": 1}, ("add", "/b", [1]), ("add", "/b/-", 2), ("replace", "/a", 3), ("add", "/b/0", 0))
    assert patched == {"a": 3, "b": [0, 1, 2]}


def test_slashes_and_tildes_are_escaped():
    assert apply({}, ("add", "/a~1b~0c", 1)) == {"a/b~c": 1}


def test_a_negative_index_counts_from_the_end():
    assert apply({"l": [1, 2, 3]}, ("remove", "/l/-1")) == {"l": [1, 2]}


def test_move_and_copy():
    document = {"a": {"x": 1}, "l": []}
    move = {"op": "move", "from": "/a/x", "path": "/y"}
    copy = {"op": "copy", "from": "/y", "path": "/l/-"}
    assert json_patch.apply(document, [move, copy]) == {"a": {}, "l": [1], "y": 1}


def test_replace_and_copy_of_a_key_that_is_not_there_go_on():
    copy = {"op": "copy", "from": "/missing", "path": "/c"}
    assert json_patch.apply({}, [{"op": "replace", "path": "/b", "value": 1}, copy]) == {"b": 1, "c": None}


def test_a_copy_shares_nothing():
    copied = json_patch.apply({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}])
    copied["a"].append(2)
    assert copied["b"] == [1]


def test_a_test_compares_types_and_null_is_nothing():
    assert apply({"a": 1}, ("test", "/a", 1), ("test", "/missing", None)) == {"a": 1}
    with pytest.raises(PatchError):
        apply({"a": 1}, ("test", "/a", True))


@pytest.mark.parametrize(
    "operation",
    [
        ("remove", "/b"),
        ("remove", ""),
        ("replace", "/l/3", 1),
        ("test", "/a", 2),
        ("jump", "/a"),
        ("add",),
        ("add", "/b/c", 1),
        ("add", "/a/b", 1),
        ("add", "/l/9", 1),
        ("add", "/l/x", 1),
        ("remove", "/l/-9"),
    ],
)
def test_what_does_not_apply_is_an_error(operation):
    with pytest.raises(PatchError):
        apply({"a": 1, "l": [1]}, operation)


def test_copies_cannot_make_a_bomb():
    double = {"op": "copy", "from": "/a", "path": "/a/-"}
    with pytest.raises(PatchError, match="too large"):
        json_patch.apply({"a": ["x" * 100_000]}, [double] * 40)
