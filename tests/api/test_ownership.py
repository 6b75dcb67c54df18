"""Who owns which field: sets, updates, applies, conflicts, the Scale and the way over from client-side apply."""

import pytest

from tiphys.api import schema
from tiphys.api.conform import conform
from tiphys.api.ownership import sets, types
from tiphys.api.ownership.applying import ApplyConflict, ApplyError
from tiphys.api.ownership.client_side import LAST_APPLIED, apply_after_client_side
from tiphys.api.ownership.recording import Writer, record_update
from tiphys.api.ownership.resets import reset_fields
from tiphys.api.ownership.scaling import entries_of_scale, entries_of_workload

CONFIG_MAP = schema.message("core.v1.ConfigMap")
POD = schema.message("core.v1.Pod")


def writer(name, second=0, subresource="", ignored=None):
    return Writer(name, "v1", f"2027-01-15T08:00:{second:02}Z", subresource, ignored)


def config_map(data=None, **metadata):
    head = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c", **metadata}}
    return {**head, "data": data} if data is not None else head


def updated(old, new, name="u", second=0):
    made = {**new, "metadata": dict(new["metadata"])}
    record_update(old, made, CONFIG_MAP, writer(name, second))
    return made


def applied(live, config, name="a", *, second=0, force=False, message=CONFIG_MAP):
    merged = apply_after_client_side(live, config, message, writer(name, second), force=force)
    return conform(merged, message).object | {"kind": config["kind"], "apiVersion": "v1"}


def owners(obj):
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


# sets


def test_sets_join_part_and_overlap():
    one, other = {"f:a": {}, "f:m": {".": {}, "f:x": {}}}, {"f:m": {"f:x": {}, "f:y": {}}}
    assert sets.union(one, other) == {"f:a": {}, "f:m": {".": {}, "f:x": {}, "f:y": {}}}
    assert sets.difference(one, other) == {"f:a": {}, "f:m": {}}
    assert sets.intersection(one, other) == {"f:m": {"f:x": {}}}


def test_a_member_with_members_below_keeps_itself():
    assert sets.union({"f:m": {}}, {"f:m": {"f:x": {}}}) == {"f:m": {".": {}, "f:x": {}}}


def test_paths_are_written_as_kubernetes_writes_them():
    element = 'k:{"containerPort":80,"protocol":"TCP"}'
    fields = {"f:spec": {"f:ports": {element: {".": {}, "f:name": {}}}}, "f:set": {'v:"x"': {}}}
    port = '.spec.ports[containerPort=80,protocol="TCP"]'
    assert list(sets.members(fields)) == ['.set["x"]', port, f"{port}.name"]


# updates


def test_a_pointer_that_is_printed_as_null_is_not_new_when_it_is_set():
    request = {"metadata": {}, "spec": {"boundObjectRef": {"kind": "Pod", "name": "p"}}}
    record_update(None, request, schema.message("authentication.v1.TokenRequest"), writer("u"))
    assert owners(request) == {"u": {"f:spec": {"f:boundObjectRef": {"f:kind": {}, "f:name": {}}}}}


def test_a_create_owns_what_it_says_and_the_map_itself():
    made = updated(None, config_map({"a": "1"}, labels={"l": "1"}))
    assert owners(made) == {"u": {"f:data": {".": {}, "f:a": {}}, "f:metadata": {"f:labels": {".": {}, "f:l": {}}}}}


def test_list_items_are_owned_by_their_keys():
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}]}
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    record_update(None, pod, POD, writer("u"))
    port = {".": {}, "f:containerPort": {}, "f:protocol": {}}
    owned = owners(pod)["u"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert owned["f:ports"] == {".": {}, 'k:{"containerPort":80,"protocol":"TCP"}': port}


def test_an_update_takes_what_it_changes_from_its_owner():
    old = updated(None, config_map({"a": "1", "b": "1"}), "one")
    new = updated(old, config_map({"a": "2", "b": "1"}, managedFields=old["metadata"]["managedFields"]), "two", 1)
    assert owners(new) == {"one": {"f:data": {".": {}, "f:b": {}}}, "two": {"f:data": {"f:a": {}}}}


def test_what_is_removed_is_nobodys():
    old = updated(None, config_map({"a": "1", "b": "1"}), "one")
    assert owners(updated(old, config_map({"a": "1"}), "two")) == {"one": {"f:data": {".": {}, "f:a": {}}}}


def test_an_update_that_changes_nothing_keeps_the_time():
    old = updated(None, config_map({"a": "1"}))
    assert updated(old, config_map({"a": "1"}), second=9)["metadata"]["managedFields"][0]["time"].endswith(":00Z")


def test_entries_reset_by_hand_are_not_tracked_again():
    old = updated(None, config_map({"a": "1"}))
    reset = updated(old, config_map({"a": "1"}, managedFields=[{}]))
    assert "managedFields" not in reset["metadata"]
    assert "managedFields" not in updated(reset, config_map({"a": "2"}))["metadata"]


def test_invalid_entries_by_hand_are_ignored():
    old = updated(None, config_map({"a": "1"}))
    wrong = [{"manager": "m", "operation": "Patch", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]
    assert owners(updated(old, config_map({"a": "1"}, managedFields=wrong))) == owners(old)


def test_the_status_is_not_owned_through_the_main_path():
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {}, "status": {"phase": "Running"}}
    record_update(None, pod, POD, writer("u", ignored=reset_fields("", "pods", "")))
    assert "managedFields" not in pod["metadata"]


def test_more_than_ten_updaters_become_one_ancient_one():
    obj = updated(None, config_map({"k0": "0"}), "m0")
    for n in range(1, 12):
        obj = updated(obj, config_map({**obj["data"], f"k{n}": "1"}), f"m{n:02}", n)
    assert len(owners(obj)) == 10
    assert owners(obj)["ancient-changes"]["f:data"] == {".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {}}


# applies


def test_an_apply_owns_what_it_names():
    assert owners(applied(None, config_map({"a": "1"}))) == {"a": {"f:data": {"f:a": {}}}}


def test_what_is_not_named_any_more_goes():
    live = applied(None, config_map({"a": "1", "b": "1"}))
    assert applied(live, config_map({"b": "1"}))["data"] == {"b": "1"}


def test_what_another_applier_names_too_stays():
    live = applied(applied(None, config_map({"a": "1", "b": "1"})), config_map({"a": "1"}), "other")
    left = applied(live, config_map({"b": "1"}))
    assert left["data"] == {"a": "1", "b": "1"} and owners(left)["other"] == {"f:data": {"f:a": {}}}


def test_a_change_of_what_another_owns_is_a_conflict():
    live = applied(None, config_map({"a": "1", "c": "1"}), "alice")
    with pytest.raises(ApplyConflict) as caught:
        applied(live, config_map({"a": "2", "c": "2"}), "bob")
    assert str(caught.value) == 'Apply failed with 2 conflicts: conflicts with "alice":\n- .data.a\n- .data.c'


def test_an_updater_is_named_with_its_version():
    with pytest.raises(ApplyConflict) as caught:
        applied(updated(None, config_map({"a": "1"})), config_map({"a": "2"}))
    assert str(caught.value) == 'Apply failed with 1 conflict: conflict with "u" using v1: .data.a'


def test_force_takes_the_field():
    live = applied(None, config_map({"a": "1", "b": "1"}), "alice")
    taken = applied(live, config_map({"a": "2"}), "bob", force=True)
    assert owners(taken) == {"alice": {"f:data": {"f:b": {}}}, "bob": {"f:data": {"f:a": {}}}}


def test_agreeing_shares_the_field_and_has_no_time():
    live = updated(None, config_map({"a": "1"}))
    shared = applied(live, config_map({"a": "1"}), second=5)
    mine = next(entry for entry in shared["metadata"]["managedFields"] if entry["manager"] == "a")
    assert "time" not in mine and owners(shared)["u"] == {"f:data": {".": {}, "f:a": {}}}


def test_an_untracked_object_belongs_to_those_before_the_first_apply():
    with pytest.raises(ApplyConflict, match=r'conflict with "before-first-apply" using v1: \.data\.a'):
        applied(config_map({"a": "1"}, uid="u"), config_map({"a": "2"}))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bogus": 1}, ".bogus: field not declared in schema"),
        ({"data": {"a": 1}}, ".data.a: expected string, got &value.valueUnstructured{Value:1}"),
    ],
)
def test_what_the_schema_does_not_have_cannot_be_applied(change, text):
    with pytest.raises(ApplyError) as caught:
        applied(None, {**config_map(), **change})
    assert str(caught.value) == text


def containers(*items):
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": list(items)}}


def test_containers_merge_by_name_in_the_order_that_is_applied():
    live = applied(None, containers({"name": "web", "image": "w"}), message=POD)
    merged = applied(live, containers({"name": "proxy", "image": "p"}, {"name": "web"}), "mesh", message=POD)
    assert [c["name"] for c in merged["spec"]["containers"]] == ["proxy", "web"]
    assert merged["spec"]["containers"][1]["image"] == "w"


def test_one_key_twice_cannot_be_applied():
    with pytest.raises(ApplyError, match=r'\.spec\.containers: duplicate entries for key \[name="a"\]'):
        applied(None, containers({"name": "a"}, {"name": "a"}), message=POD)


def test_kubectl_takes_over_what_client_side_apply_left():
    last = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}'
    live = updated(None, config_map({"a": "1"}, annotations={LAST_APPLIED: last}), "kubectl-client-side-apply")
    taken = applied(live, config_map({"a": "2"}), "kubectl")
    assert taken["data"] == {"a": "2"} and '"a":"2"' in taken["metadata"]["annotations"][LAST_APPLIED]
    with pytest.raises(ApplyConflict):
        applied(live, config_map({"a": "2"}), "flux")


def test_replicas_taken_through_the_scale_leave_their_owner():
    fields = {"f:spec": {"f:paused": {}, "f:replicas": {}}}
    common = {"apiVersion": "v1", "time": "2027-01-15T08:00:00Z", "fieldsType": "FieldsV1"}
    held = [{"manager": "dev", "operation": "Apply", **common, "fieldsV1": fields}]
    (seen,) = entries_of_scale(held)
    assert seen["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    hpa = {**seen, "manager": "hpa", "subresource": "scale"}
    scaled, kept = entries_of_workload(held, [hpa], "v1")
    assert (scaled["manager"], scaled["subresource"], "time" in scaled) == ("hpa", "scale", False)
    assert kept["fieldsV1"] == {"f:spec": {"f:paused": {}}}
    assert entries_of_workload(held, [seen], "v1") == held


def test_a_key_is_no_other_key_that_python_calls_equal():
    ports = types.plan_of(schema.message("core.v1.Container"))["ports"][1].field
    one = types.element_of({"containerPort": 1, "protocol": "TCP"}, ports)
    assert one == types.element_of({"protocol": "TCP", "containerPort": 1}, ports)
    assert one != types.element_of({"containerPort": True, "protocol": "TCP"}, ports)
    assert one != types.element_of({"containerPort": "1", "protocol": "TCP"}, ports)
